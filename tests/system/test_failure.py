"""The line that says why a training failed, out of logs as they come."""

import pytest

from curate.system.failure import explain, reason

MUCH = 10**12
LOSS = "{'loss': '1.9', 'epoch': '0.1'}\r 50%|█████     | 2/4 [00:14<00:16,  8.09s/it]"
PLAIN = f"""[INFO|2026-11-25 18:50:52] llamafactory.model.loader:144 >> trainable params: 2
{LOSS}
Traceback (most recent call last):
  File "llamafactory/cli.py", line 24, in main
    launcher.launch()
  File "llamafactory/train/tuner.py", line 149, in run_exp
    raise ValueError("Can't find a checkpoint index")
ValueError: Can't find a checkpoint index (model.safetensors.index.json) in saves/a.
"""
TORCHRUN = """[rank0]: Traceback (most recent call last):
[rank0]:   File "llamafactory/launcher.py", line 185, in <module>
[rank0]:     run_exp()
[rank0]: ValueError: Unknown template: x.
E1125 19:03:18.522000 24547 torch/distributed/elastic/api.py:1002] failed (exitcode: 1)
Traceback (most recent call last):
  File "torch/distributed/launcher/api.py", line 383, in launch_agent
    raise ChildFailedError(
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
============================================================
Root Cause (first observed failure):
  exitcode  : 1 (pid: 24582)
============================================================
Traceback (most recent call last):
  File "subprocess.py", line 571, in run
    raise CalledProcessError(retcode, process.args,
subprocess.CalledProcessError: Command '['torchrun']' returned non-zero exit status 1.
"""
CHAINED = """Traceback (most recent call last):
  File "datasets/builder.py", line 1, in _prepare
    x
TypeError: Couldn't cast array of type string to null

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "datasets/builder.py", line 2, in _download
    raise DatasetGenerationError("An error occurred while generating the dataset") from e
datasets.exceptions.DatasetGenerationError: An error occurred while generating the dataset
"""
LONG = """Traceback (most recent call last):
  File "torch/nn/modules.py", line 1, in load_state_dict
    raise RuntimeError(
RuntimeError: Error(s) in loading state_dict for Model:
\tsize mismatch for a.weight

[INFO] something else
"""


@pytest.mark.parametrize(
    ("log", "line"),
    [
        (
            PLAIN,
            "ValueError: Can't find a checkpoint index (model.safetensors.index.json) in saves/a.",
        ),
        (TORCHRUN, "ValueError: Unknown template: x."),
        (CHAINED, "TypeError: Couldn't cast array of type string to null"),
        (
            LONG,
            "RuntimeError: Error(s) in loading state_dict for Model: size mismatch for a.weight",
        ),
        ("python: error while loading shared libraries: libx\nbye\n", None),
        (f"starting\n{LOSS}\n", "50%|█████     | 2/4 [00:14<00:16,  8.09s/it]"),
        ("", ""),
    ],
)
def test_the_exception_and_not_its_wrappers(log, line):
    assert reason(log) == (log.splitlines()[0] if line is None else line)


def test_a_line_without_end_is_cut():
    assert len(reason("Traceback (most recent call last):\nValueError: " + "x" * 9_999)) == 500


def test_killed_outright():
    told = explain(-9, PLAIN, MUCH, ("--set cutoff_len=512",))
    assert told.startswith("killed by signal 9, which is mostly the kernel when memory runs out")
    assert "--set cutoff_len=512" in told
    below = TORCHRUN.replace("exitcode  : 1 ", "exitcode  : -9 ")
    assert explain(1, below, MUCH).startswith("killed by signal 9")


def test_other_signals_are_named():
    assert explain(-11, "so far\n", MUCH) == "ended by signal 11 (SIGSEGV); its last line: so far"
    assert explain(-99, "", MUCH) == "ended by signal 99"


@pytest.mark.parametrize(
    "told",
    [
        "OSError: [Errno 28] No space left on device: 'a'",
        "safetensors.SafetensorError: I/O error: No space left on device (os error 28)",
    ],
)
def test_a_full_disk(told):
    log = f"Traceback (most recent call last):\n  File x\n{told}\n"
    assert explain(1, log, 5 * 10**7).startswith("the disk is full (0.05 GB free): ")
    assert told in explain(1, log, 0)


def test_a_full_disk_cuts_off_the_log_that_would_have_said_so():
    log = 'Traceback (most recent call last):\n  File "x"\n    save_files = s'
    assert explain(1, log, 0).startswith("the disk is full (0.00 GB free). Make room")
    assert "disk" not in explain(1, PLAIN, MUCH)


def test_memory_of_a_gpu():
    line = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has …"
    told = explain(1, f"Traceback (most recent call last):\n  File x\n{line}", MUCH, ("less",))
    assert told == "torch.OutOfMemoryError: CUDA out of memory. Take less memory: less"


def test_nothing_was_said():
    assert explain(3, "", MUCH) == "it ended with exit code 3 and said nothing"
