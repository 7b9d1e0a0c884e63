"""Settings of the site of the documents: `make docs`."""

import os
import sys
from importlib import metadata
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent))

project = "multilode"
author = "The multilode developers"
copyright = author
try:
    release = metadata.version("multilode")
except metadata.PackageNotFoundError:
    release = "unknown"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "site_links",
]
exclude_patterns = [
    "templates",
    "gallery/*.ipynb",
    "gallery/*.py",
    "gallery/*.md5",
    "sg_execution_times.rst",
    "gallery/sg_execution_times.rst",
]
templates_path = ["templates"]
suppress_warnings = ["config.cache"]  # the order of the gallery is a function

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 4
myst_url_schemes = ["http", "https", "mailto", "page", "source"]  # the last two: site_links.py
myst_links_external_new_tab = False

default_role = "code"  # names in docstrings stand in single backticks
autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_class_signature = "mixed"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
python_maximum_signature_line_length = 80

highlight_language = "none"  # blocks without a language are output and commands
html_theme = "pydata_sphinx_theme"
html_title = "multilode"
html_static_path = ["static"]
html_css_files = ["site.css"]
(Path(__file__).parent / "gallery_extra").mkdir(exist_ok=True)
html_extra_path = ["gallery_extra"]  # report_scraper.py
html_show_sourcelink = False
html_show_sphinx = False
html_sidebars = {"index": []}
html_context = {"default_mode": "auto"}  # light or dark as the reader's system
html_theme_options = {
    "logo": {"text": "multilode"},
    "header_links_before_dropdown": 6,
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_nav_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}

sphinx_gallery_conf = {
    "examples_dirs": "../examples/gallery",
    "gallery_dirs": "gallery",
    "filename_pattern": r"/\d\d_",
    "within_subsection_order": "FileNameSortKey",
    "show_memory": False,
    "show_signature": False,
    "download_all_examples": False,
    "abort_on_example_error": True,
    "remove_config_comments": True,
    "image_scrapers": ("matplotlib", "report_scraper.reports"),
    "reset_argv": "site_links.no_arguments",
    "min_reported_time": 1,
}
