"""Processes that share out tasks."""

from __future__ import annotations

import os
import time
from functools import partial

from instruct_imagen.evaluation.workers import done


def doubled(task):
    return 2 * task


def first_is_quick(folder):
    """The first process that opens it is ready at once, any other when all is done."""
    try:
        os.close(os.open(folder / "first", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        while len(list(folder.glob("done*"))) < 2:
            time.sleep(0.05)
        time.sleep(0.5)  # until nobody listens
        return doubled
    return partial(counted, folder)


def counted(folder, task):
    (folder / f"done{task}").touch()
    return doubled(task)


def test_a_process_that_comes_too_late_ends_quietly(tmp_path, capfd):
    found = sorted(done(partial(first_is_quick, tmp_path), [1, 2], workers=2))
    assert found == [2, 4]
    assert "Traceback" not in capfd.readouterr().err
