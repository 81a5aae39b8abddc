# SPDX-License-Identifier: MIT
"""scripts/python/to_wandb.py with stand-ins for the packages, which write down what they are told.

    to_wandb_test.py     exit code 1 and what differed
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "python" / "to_wandb.py"
WANDB = """
import json, os
def note(*call):
    with open(os.environ["CALLS"], "a") as out:
        out.write(json.dumps(call) + "\\n")
class Sent:
    class summary:
        update = staticmethod(lambda values: note("summary", values))
    finish = staticmethod(lambda: note("finish"))
def init(**named):
    note("init", named)
    return Sent
log = lambda values, step: note("log", step, values)
"""
MLFLOW = """
import contextlib, json, os
def note(*call):
    with open(os.environ["CALLS"], "a") as out:
        out.write(json.dumps(call) + "\\n")
set_tracking_uri = lambda uri: note("uri", uri)
set_experiment = lambda name: note("experiment", name)
@contextlib.contextmanager
def start_run(**named):
    note("start", named)
    yield
log_params = lambda values: note("params", values)
log_metrics = lambda values, step: note("log", step, values)
log_dict = lambda value, name: note("dict", name, value)
"""
METRICS = [{"step": 10, "epoch": 0, "split": "train", "loss": 2.0, "solver": {"layer0": {"capped": 1}}, "data_origin": "synthetic"},
           {"step": 20, "epoch": 1, "split": "train", "loss": 1.5, "val_is_test": False},
           {"step": 20, "split": "val", "loss": 1.75, "accuracy": 0.5},
           {"step": 10, "split": "test", "checkpoint": "best", "accuracy": 0.25}]


class ToWandb(unittest.TestCase):
    def setUp(self):
        held = tempfile.TemporaryDirectory()
        self.addCleanup(held.cleanup)
        self.work = pathlib.Path(held.name)
        self.run = self.work / "my-run"
        self.run.mkdir()
        self.write("run.json", {"config": {"task": "listops", "model": {"dim": 16}}, "data_fingerprints": {"train": "ab"},
                                "run": {"task": "listops", "attention": "lotformer", "protocol": "default"}})
        self.write("results.json", {"test": {"accuracy": 0.25}, "seed": 3})
        (self.run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in METRICS))
        self.packages = self.work / "packages"
        self.packages.mkdir()

    def write(self, name, value):
        (self.run / name).write_text(json.dumps(value))

    def call(self, *arguments):
        """-S: packages that happen to be installed are not seen."""
        environment = {**os.environ, "PYTHONPATH": str(self.packages), "CALLS": str(self.work / "calls"), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run([sys.executable, "-S", str(SCRIPT), *map(str, arguments)], env=environment, text=True, capture_output=True,
                              cwd=self.work, check=False)
        calls = self.work / "calls"
        return done, [json.loads(line) for line in calls.read_text().splitlines()] if calls.exists() else []

    def test_wandb_gets_configuration_numbers_and_results(self):
        (self.packages / "wandb.py").write_text(WANDB)
        done, calls = self.call(self.run, "--offline", "--project", "p")
        self.assertEqual(done.returncode, 0, done.stderr)
        named = calls[0][1]
        self.assertEqual((named["project"], named["name"], named["mode"], named["resume"]), ("p", "my-run", "offline", "allow"))
        self.assertEqual(named["config"], {"task": "listops", "model": {"dim": 16}})
        self.assertEqual(calls[1:3], [
            ["log", 10, {"train/epoch": 0, "train/loss": 2.0, "train/solver/layer0/capped": 1, "test_best/accuracy": 0.25}],
            ["log", 20, {"train/epoch": 1, "train/loss": 1.5, "val/loss": 1.75, "val/accuracy": 0.5}]])
        self.assertEqual(calls[3:], [["summary", {"test.accuracy": 0.25, "seed": 3}], ["finish"]])
        _, again = self.call(self.run)
        self.assertEqual(again[len(calls)][1]["id"], named["id"], "the same run has the same identity")
        self.assertEqual(again[len(calls)][1]["mode"], "online")

    def test_mlflow(self):
        (self.packages / "mlflow.py").write_text(MLFLOW)
        done, calls = self.call(self.run, "--tracker", "mlflow", "--offline")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(["params", {"task": "listops", "model.dim": 16}], calls)
        self.assertIn(["log", 20, {"train/epoch": 1, "train/loss": 1.5, "val/loss": 1.75, "val/accuracy": 0.5}], calls)

    def test_a_missing_package_is_named(self):
        for tracker in ("wandb", "mlflow"):
            done, _ = self.call(self.run, "--tracker", tracker)
            self.assertEqual(done.returncode, 2)
            self.assertIn(f"the Python package {tracker} is needed", done.stderr)

    def test_dry_run_needs_no_package(self):
        done, calls = self.call(self.run, "--dry-run")
        self.assertEqual((done.returncode, calls), (0, []), done.stderr)
        for line in ("config model.dim = 16", "step 20 val/accuracy = 0.5", "step 10 test_best/accuracy = 0.25", "summary test.accuracy = 0.25"):
            self.assertIn(line, done.stdout)

    def test_what_is_no_run_is_refused_before_anything_is_sent(self):
        (self.packages / "wandb.py").write_text(WANDB)
        done, calls = self.call(self.run, self.work)
        self.assertEqual((done.returncode, calls), (2, []))
        self.assertIn("is no run folder", done.stderr)
        with (self.run / "metrics.jsonl").open("a") as out:
            out.write("[]\n{}\n")
        done, calls = self.call(self.run)
        self.assertEqual((done.returncode, calls), (2, []))
        self.assertIn("metrics.jsonl:5: is no line of metrics", done.stderr)

    def test_a_last_line_under_way_is_left_out_and_said(self):
        with (self.run / "metrics.jsonl").open("a") as out:
            out.write('{"step": 30, "sp')
        done, _ = self.call(self.run, "--dry-run")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("metrics.jsonl:5: is not whole", done.stderr)


unittest.main()
