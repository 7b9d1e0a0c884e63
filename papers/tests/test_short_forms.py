"""The systems of the papers in their short forms give the results that are kept."""

import json

import pytest

from multilode.cli.main import run
from multilode_papers.expected import CheckError, expected_metrics
from multilode_papers.systems import SYSTEMS


@pytest.mark.slow
@pytest.mark.parametrize("name", SYSTEMS)
def test_a_short_form_agrees_with_what_is_kept(name, tmp_path, capsys):
    try:
        expected_metrics(name, quick=True)
    except CheckError as error:
        pytest.skip(str(error))
    code = run(["reproduce", name, "--quick", "--check", "-o", str(tmp_path)])
    printed = capsys.readouterr()
    assert code == 0, printed.err  # the line that says what differs
    assert "rows agree with the results that are kept" in printed.out
    metrics = json.loads((tmp_path / name / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["quick"] is True
    assert metrics["rows"]
