"""The record of the 2021 paper: files of the form that is known of it, from a server of our own."""

import functools
import hashlib
import http.server
import io
import json
import tarfile
import threading
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.io import write

from multilode.data.dataset import DataError
from multilode.data.io import write as write_dataset
from multilode.datasets import SUMS, ChecksumError, DatasetError, available, load
from multilode_papers.datasets.archive import class_in, read_dimers
from multilode_papers.datasets.download import FetchError, fetch_record

POINTS = np.arange(13) * 0.25


def curve(first, second, start, strength):
    """A dimer of two molecules with energies as FHI-aims prints them: large, monomers apart."""
    images = []
    for offset in POINTS:
        far = Atoms(second, [[0, 0, start + offset + 1.1 * i] for i in range(len(Atoms(second)))])
        near = Atoms(first, [[0, 0, -1.1 * i] for i in range(len(Atoms(first)))])
        image = near + far
        image.info = {
            "energy": -2000.0 - 1500.0 + strength / (start + offset),
            "energyA": -2000.0,
            "energyB": -1500.0,
            "distance": start + offset,
        }
        images.append(image)
    return images


CHARGED = curve("CO", "OH", 3.0, -14.0) + curve("CO", "OH", 2.5, 12.0) + curve("N", "OH", 3.0, -9.0)
APOLAR = curve("CH", "C", 3.5, -0.2)


def put(path, images):
    write(path, images, format="extxyz")
    return path


def changed(images, **info):
    copies = [image.copy() for image in images]
    for copy, image in zip(copies, images, strict=True):
        copy.info = {
            k: v for k, v in ({**image.info, **info}).items() if not (k in info and v is None)
        }
    return copies


def test_interaction_energies_are_those_of_the_dimer_less_its_monomers(tmp_path):
    data = read_dimers(
        [put(tmp_path / "charge-charge.xyz", CHARGED), put(tmp_path / "AA.xyz", APOLAR)]
    )
    assert data.labels("label") == ("CC",) * 39 + ("AA",) * 13
    assert len(set(data.labels("dimer"))) == 4
    expected = np.concatenate(
        [s / (r + POINTS) for r, s in ((3, -14), (2.5, 12), (3, -9), (3.5, -0.2))]
    )
    np.testing.assert_allclose(data.column("interaction_energy"), expected, atol=1e-9)
    np.testing.assert_allclose(data.column("distance")[13:26], 2.5 + POINTS)


def test_files_of_other_systems_are_left_out(tmp_path):
    other = put(tmp_path / "lithium-water.xyz", [Atoms("Li", info={"energy": 1.0})])
    dimers = put(tmp_path / "polar_apolar.xyz", changed(APOLAR, label="AP"))
    assert set(read_dimers([other, dimers]).labels("label")) == {"PA"}
    with pytest.raises(DataError, match=r"none of lithium-water\.xyz names a class"):
        read_dimers([other])


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("charge-charge.xyz", "CC"),
        ("polar_charge.extxyz", "CP"),
        ("charged-apolar-train.xyz", "CA"),
        ("polarpolar.xyz.gz", "PP"),
        ("dimers_PA.xyz", "PA"),
        ("a-a.xyz", None),
        ("AA.xyz", "AA"),
        ("CAPS.xyz", None),
        ("polarizability.xyz", None),
        ("lithium-water.xyz", None),
    ],
)
def test_classes_in_names_of_files(name, label):
    assert class_in(name) == label


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (changed(CHARGED, distance=None), "the distance of the monomers is missing"),
        (changed(CHARGED, energyB=None), "'energy' less 'energyA' and 'energyB', in eV"),
        (changed(CHARGED, energyB=-50.0), "frame 0: an interaction energy of"),
        (changed(CHARGED, interaction_energy=-3.0), "frame 0: an interaction energy of -3 eV"),
        (changed(CHARGED, label="PP"), "has the class 'PP' where CC is expected"),
        (changed(CHARGED, label="XY"), "has the class 'XY' where CC is expected"),
        (CHARGED[:20], "frame 13: a curve has 7 points where the paper's have 13"),
    ],
)
def test_what_would_have_to_be_guessed_is_refused(tmp_path, images, said):
    path = put(tmp_path / "CC.xyz", images)
    with pytest.raises(DataError) as caught:
        read_dimers([path])
    assert said in str(caught.value)
    assert "CC.xyz" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_named_dimers_may_have_any_number_of_points(tmp_path):
    images = changed(CHARGED[:20], system="one")
    assert set(read_dimers([put(tmp_path / "CC.xyz", images)]).labels("dimer")) == {"CC-one"}


class Archive(http.server.SimpleHTTPRequestHandler):
    """Answers as the archive does: the list of files, and their contents."""

    def log_message(self, *_):
        pass


@pytest.fixture
def archive(tmp_path):
    """A folder that is served as a record, and its address."""
    root = tmp_path / "served" / "record"
    (root / "files").mkdir(parents=True)
    handler = functools.partial(Archive, directory=str(root.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield root, f"http://127.0.0.1:{server.server_port}/record"
        server.shutdown()
        thread.join()


def serve(root, contents, **wrong):
    entries = []
    for name, data in contents.items():
        (root / "files" / name).mkdir()
        (root / "files" / name / "content").write_bytes(data)
        checksum = wrong.get("checksum") or f"md5:{hashlib.md5(data).hexdigest()}"
        entries.append({"key": name, "size": len(data), "checksum": checksum})
    (root / "files" / "index.html").write_text(json.dumps({"entries": entries}))


def xyz(images):
    buffer = io.StringIO()
    write(buffer, images, format="extxyz")
    return buffer.getvalue().encode()


def zipped(**files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(f"data/{name}", data)
    return buffer.getvalue()


def taped(**files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def test_an_archive_that_reaches_out_of_its_folder_is_refused(archive, tmp_path):
    root, address = archive
    serve(root, {"x.tar.gz": taped(**{"../CC.xyz": xyz(CHARGED)})})
    with pytest.raises(FetchError, match="outside the destination"):
        fetch_record(tmp_path / "cache", record=address)
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == [
        "files.json",
        "x.tar.gz",
    ]


def test_tape_archives_are_unpacked(archive, tmp_path):
    root, address = archive
    serve(root, {"x.tar.gz": taped(**{"data/CC.xyz": xyz(CHARGED)})})
    names = [path.name for path in fetch_record(tmp_path / "dimers-2021", record=address)]
    assert names == ["x.tar.gz", "CC.xyz"]
    assert len(load("dimers-2021", folder=tmp_path)) == 39


def test_a_record_is_fetched_checked_unpacked_and_read(archive, tmp_path):
    root, address = archive
    packed = zipped(**{"polar-polar.xyz": xyz(APOLAR), "README": b"text"})
    serve(root, {"charge-charge.xyz": xyz(CHARGED), "more.zip": packed})
    seen = {}

    def stage(name):
        return lambda done, total: seen.__setitem__(name, (done, total))

    folder = tmp_path / "dimers-2021"
    fetch_record(folder, record=address, stage=stage)
    assert seen["charge-charge.xyz"] == (len(xyz(CHARGED)),) * 2
    assert seen["more.zip"] == (len(packed),) * 2
    assert len(load("dimers-2021", folder=tmp_path)) == 52
    assert len(load("dimers-2021", "PP", folder=tmp_path)) == 13
    with pytest.raises(DatasetError, match="it has CC, PP"):
        load("dimers-2021", "AA", folder=tmp_path)

    for path in root.rglob("content"):  # a second time nothing is asked for
        path.unlink()
    fetch_record(folder, record=address)

    target = folder / "more-unpacked" / "data" / "polar-polar.xyz"
    target.write_bytes(target.read_bytes() + b"\n")
    with pytest.raises(ChecksumError, match=r"polar-polar\.xyz: its SHA-256 sum differs"):
        load("dimers-2021", folder=tmp_path)


def test_a_file_with_another_sum_than_the_record_says_is_refused(archive, tmp_path):
    root, address = archive
    serve(root, {"CC.xyz": xyz(CHARGED)}, checksum="md5:" + "0" * 32)
    with pytest.raises(FetchError, match="hash") as caught:
        fetch_record(tmp_path / "cache", record=address)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "cache" / "CC.xyz").exists()
    assert not (tmp_path / "cache" / SUMS).exists()


@pytest.mark.parametrize(
    "answer",
    [
        "<html>maintenance</html>",
        "{}",
        '{"entries": []}',
        '{"entries": [{"key": "../../etc/x", "checksum": "md5:0"}]}',
    ],
)
def test_another_answer_than_a_list_of_files_is_refused_and_asked_for_again(
    archive, tmp_path, answer
):
    root, address = archive
    (root / "files" / "index.html").write_text(answer)
    with pytest.raises(FetchError, match="not as expected"):
        fetch_record(tmp_path / "cache", record=address)
    serve(root, {"CC.xyz": xyz(CHARGED)})
    fetch_record(tmp_path / "cache", record=address)


def test_without_network_one_line_says_what_to_do(tmp_path):
    with pytest.raises(FetchError, match=r"\(no connection\); check the network") as caught:
        fetch_record(tmp_path, record="http://127.0.0.1:9/record")
    assert "archive.materialscloud.org/records/es3jr-dse56" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_curves_of_the_record_that_others_published(tmp_path):
    """Ten of its dimers, with other names of the keys; here without those that tell them apart."""
    if not available("charged-curves"):
        pytest.skip("MULTILODE_DATA is not set: no charged-curves to read")
    known = load("charged-curves")
    names = {"energy": "total_energy", "energyA": "energy_a", "energyB": "energy_b"}
    columns = {new: known.columns[old] for new, old in names.items()}
    columns["distance"] = known.columns["distance"]
    bare = replace(known, columns=columns, atom_columns={})
    path = tmp_path / "charge-charge.xyz"
    write_dataset(path, bare)
    data = read_dimers([path])
    np.testing.assert_allclose(
        data.column("interaction_energy"), known.column("interaction_energy"), atol=1e-8
    )
    pairs = set(zip(data.labels("dimer"), known.labels("system"), strict=True))
    assert len(pairs) == len(set(data.labels("dimer"))) == 10
