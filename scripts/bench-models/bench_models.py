"""Times scry beside XGBoost, LightGBM and ONNX Runtime: the same models, the same rows, one thread.

    make bench-models                 # or: python bench_models.py bin/scry [--quick] [--keep DIR]

Each model is trained here, saved as a bundle with golden rows and verified by scry before
anything is timed. An engine scores all rows in batches of 1, 128 and 4096, over and over,
and its fastest pass counts: the others were disturbed. Rows lie ready in the layout the
engine likes best (float32 for XGBoost and ONNX Runtime, float64 for LightGBM and scry).
Prints Markdown.
"""
import argparse
import ctypes
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import time
import warnings

os.environ["OMP_NUM_THREADS"] = "1"  # for training too: threads that wait for each other crawl on a busy machine
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import lightgbm as lgb
import numpy as np
import onnxruntime as ort
import pandas as pd
import xgboost as xgb

BATCHES = [1, 128, 4096]
ROWS = 4096
warnings.filterwarnings("ignore")


def data(n, features, classes=2, words=(), seed=7):
    """n rows with holes, and their classes; the first columns hold categories, len(words) of them."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, features)).astype(np.float32)
    signal = x[:, :8] @ rng.normal(size=8) + np.sin(3 * x[:, 8]) * x[:, 9] + (x[:, 10] > 0.5) * x[:, 11]
    frame = pd.DataFrame(x.astype(np.float64), columns=[f"f{i}" for i in range(features)])
    for i, size in enumerate(words):
        codes = np.minimum((rng.gamma(1.5, size / 6, n)).astype(int), size - 1)
        signal += rng.normal(size=size)[codes]
        frame[f"f{i}"] = pd.Categorical.from_codes(codes, [f"w{c:03d}" for c in range(size)])
    signal += rng.normal(size=n)
    y = np.searchsorted(np.quantile(signal, np.arange(1, classes) / classes), signal)
    for name in frame.columns[::3]:
        frame.loc[rng.random(n) < 0.05, name] = None
    return frame, y


def xgboost_model(params, rounds, features, rows=20_000, classes=2, words=()):
    frame, y = data(rows + ROWS, features, classes, words)
    train = xgb.DMatrix(frame[:rows], y[:rows], enable_categorical=True)
    objective = {"objective": "multi:softprob", "num_class": classes} if classes > 2 else {"objective": "binary:logistic"}
    return xgb.train({"tree_method": "hist", "seed": 1, **objective, **params}, train, rounds), frame[rows:]


def lightgbm_model(params, rounds, features, rows=20_000, classes=2, words=()):
    frame, y = data(rows + ROWS, features, classes, words)
    objective = {"objective": "multiclass", "num_class": classes} if classes > 2 else {"objective": "binary"}
    params = {"verbose": -1, "seed": 1, "deterministic": True, **objective, **params}
    return lgb.train(params, lgb.Dataset(frame[:rows], y[:rows]), rounds), frame[rows:]


WORDS = (4, 10, 24, 60, 200, 12)
SHAPES = {
    "a single tree: what the call costs": lambda: xgboost_model({"max_depth": 1}, 1, 20),
    "100 trees, depth 6, 20 features": lambda: xgboost_model({"max_depth": 6}, 100, 20),
    "100 trees, 63 leaves, 20 features": lambda: lightgbm_model({"num_leaves": 63}, 100, 20),
    "500 trees, depth 8, 50 features": lambda: xgboost_model({"max_depth": 8, "eta": 0.05}, 500, 50),
    "random forest, 200 trees, depth 20": lambda: xgboost_model(
        {"max_depth": 20, "num_parallel_tree": 200, "subsample": 0.63, "colsample_bynode": 0.5, "eta": 1, "lambda": 0.1}, 1, 20),
    "random forest, 200 trees, 1000 leaves": lambda: lightgbm_model(
        {"boosting": "rf", "num_leaves": 1000, "max_depth": 20, "min_data_in_leaf": 5, "bagging_freq": 1, "bagging_fraction": 0.63,
         "feature_fraction_bynode": 0.5}, 200, 20),
    "20 classes x 100 rounds, depth 6": lambda: xgboost_model({"max_depth": 6}, 100, 20, 5_000, 20),
    "20 classes x 100 rounds, 31 leaves": lambda: lightgbm_model({}, 100, 20, 5_000, 20),
    "6 of 20 features categorical, 100 trees, depth 6": lambda: xgboost_model({"max_depth": 6}, 100, 20, words=WORDS),
    "6 of 20 features categorical, 100 trees, 63 leaves": lambda: lightgbm_model({"num_leaves": 63}, 100, 20, words=WORDS),
}
QUICK = ["a single tree: what the call costs", "100 trees, depth 6, 20 features", "6 of 20 features categorical, 100 trees, 63 leaves"]


def codes(frame):
    """The frame as numbers: a category's code, NaN where one is missing."""
    columns = [frame[c] if frame[c].dtype != "category" else frame[c].cat.codes.where(frame[c].notna(), np.nan) for c in frame]
    return np.column_stack([np.asarray(c, dtype=np.float64) for c in columns])


def save_bundle(folder, model, frame):
    """Writes the bundle; returns a fresh load of the file, a description, and its scores."""
    file = folder / ("model.ubj" if isinstance(model, xgb.Booster) else "model.txt")
    model.save_model(file)
    if isinstance(model, xgb.Booster):
        model = xgb.Booster({"nthread": 1}, model_file=str(file))
        scores = model.predict(xgb.DMatrix(frame, enable_categorical=True))
    else:
        model = lgb.Booster(model_file=str(file))
        scores = model.predict(frame, num_threads=1)
    golden = {
        "schema": 1, "features": list(frame.columns), "rows": frame.astype(object).where(frame.notna(), None).values.tolist(),
        "scores": np.asarray(scores, dtype=np.float64).reshape(len(frame), -1).tolist(),
    }
    (folder / "golden.json").write_text(json.dumps(golden))
    return model, np.asarray(scores)


def fastest(score, x, batch, seconds):
    """ns a row of the fastest pass over all rows in batches, as scry model bench does it."""
    rows = -(-max(len(x), batch) // batch) * batch
    parts = [np.ascontiguousarray(p) for p in np.split(np.resize(x, (rows, x.shape[1])), rows // batch)]
    best, passes, start = float("inf"), 0, time.perf_counter()
    for part in parts[:64]:
        score(part)
    while passes < 3 or time.perf_counter() - start < seconds:
        began = time.perf_counter_ns()
        for part in parts:
            score(part)
        best, passes = min(best, time.perf_counter_ns() - began), passes + 1
    return best / rows


def xgboost_engine(model, x, scores):
    """In-place prediction of an array, by the C API: Python's wrapper of it takes another 100 us
    a call. Categories are codes there, as the file has them."""
    predict, handle = xgb.core._LIB.XGBoosterPredictFromDense, model.handle
    config = b'{"type":0,"training":false,"iteration_begin":0,"iteration_end":0,"missing":NaN,"strict_shape":true,"cache_id":0}'
    shape, dims, out = ctypes.POINTER(ctypes.c_uint64)(), ctypes.c_uint64(), ctypes.POINTER(ctypes.c_float)()
    shape_at, dims_at, out_at = ctypes.byref(shape), ctypes.byref(dims), ctypes.byref(out)
    x = x.astype(np.float32)
    model.feature_names = None  # an array has none

    def score(part):
        array = '{"data":[%d,true],"shape":[%d,%d],"typestr":"<f4","version":3}' % (part.ctypes.data, *part.shape)
        if predict(handle, array.encode(), config, None, shape_at, dims_at, out_at):
            raise RuntimeError(xgb.core._LIB.XGBGetLastError())

    score(x)
    check("xgboost in place", np.ctypeslib.as_array(out, (scores.size,)), scores)
    return lambda batch: (score, x)


def lightgbm_engine(model, x, scores):
    """Booster.predict of an array, and for single rows the C API's call that is made for them."""
    model.pandas_categorical = None  # the table of names is for data frames; an array holds codes
    many = lambda part: model.predict(part, num_threads=1, validate_features=False)
    check("lightgbm", many(x), scores)
    lib, config = lgb.basic._LIB, ctypes.c_void_p()
    one_thread = ctypes.c_char_p(b"num_threads=1")
    made = lib.LGBM_BoosterPredictForMatSingleRowFastInit(
        model._handle, ctypes.c_int(0), ctypes.c_int(0), ctypes.c_int(-1), ctypes.c_int(1), ctypes.c_int32(x.shape[1]),
        one_thread, ctypes.byref(config))
    assert made == 0
    out, length = np.empty(scores.size // len(x)), ctypes.c_int64()
    out_pointer, length_pointer = out.ctypes.data_as(ctypes.c_void_p), ctypes.byref(length)
    predict, pointer = lib.LGBM_BoosterPredictForMatSingleRowFast, ctypes.c_void_p

    def single(part):
        predict(config, pointer(part.ctypes.data), length_pointer, out_pointer)

    single(np.ascontiguousarray(x[:1]))
    check("lightgbm single row", out, scores.reshape(len(x), -1)[0])
    return lambda batch: (single if batch == 1 else many, x)


def onnx_engine(model, x, scores):
    """ONNX Runtime on the converted model; scores may differ beside a threshold."""
    from onnxmltools import convert_lightgbm, convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    convert, extra = (convert_xgboost, {}) if isinstance(model, xgb.Booster) else (convert_lightgbm, {"zipmap": False})
    converted = convert(model, initial_types=[("x", FloatTensorType([None, x.shape[1]]))], **extra)
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(converted.SerializeToString(), options, providers=["CPUExecutionProvider"])
    output, x = session.get_outputs()[-1].name, x.astype(np.float32)
    score = lambda part: session.run([output], {"x": part})[0]
    got = np.asarray(score(x))
    want = scores.reshape(len(x), -1)
    off = np.abs(got[:, -want.shape[1]:] - want).max(axis=1)
    if np.mean(off > 1e-3) > 0.01:
        raise ValueError(f"the converted model gives other scores, by up to {off.max():.2g}")
    return lambda batch: (score, x)


def check(what, got, want):
    if not np.array_equal(np.ravel(got), np.ravel(want)):
        raise ValueError(f"{what}: other scores, by up to {np.abs(np.ravel(got) - np.ravel(want)).max()}")


def scry(binary, command, folder, *flags):
    done = subprocess.run([binary, "model", command, "--json", *flags, str(folder)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"scry model {command}: {done.stderr}{done.stdout}")
    return json.loads(done.stdout)


def attempt(make, *args):
    try:
        return make(*args), None
    except Exception as e:  # converters fail in ways of their own
        return None, " ".join(str(e).split())[:100]


def measure(name, shape, binary, folder, seconds):
    """One model's lines of the table, and remarks."""
    model, frame = shape()
    model, scores = save_bundle(folder, model, frame)
    verdict = scry(binary, "verify", folder)
    about = scry(binary, "inspect", folder)
    library = "XGBoost" if isinstance(model, xgb.Booster) else "LightGBM"
    x, remarks = codes(frame), []
    if any(frame[c].dtype == "category" for c in frame):
        onnx = None  # numeric models only
    else:
        onnx, why = attempt(onnx_engine, model, x, scores)
        if why:
            remarks.append(f"{library}: {name}: not converted to ONNX: {why}")
    own = (xgboost_engine if library == "XGBoost" else lightgbm_engine)(model, x, scores)
    theirs = {b: [fastest(*own(b), b, seconds), onnx and fastest(*onnx(b), b, seconds)] for b in BATCHES}
    ours = scry(binary, "bench", folder, "--batch", ",".join(map(str, BATCHES)), "--time", f"{seconds}s")
    lines = []
    for timing in ours["timings"]:
        b, ns = timing["batch"], timing["ns_per_row"]
        lib, converted = theirs[b]
        first = f"{library}: {name}; {about['leaves']:,} leaves, {about['layout']}" if b == BATCHES[0] else ""
        lines.append(f"| {first} | {b} | {lib:,.0f} | {f'{converted:,.0f}' if converted else ''} | {ns:,.0f} | {lib / ns:.1f} |"
                     f" {f'{converted / ns:.1f}' if converted else ''} |")
    print(f"{library}: {name}: {verdict['rows']} rows verified, {about['layout']}", file=sys.stderr)
    return lines, remarks


def cpu():
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines() if os.path.exists("/proc/cpuinfo") else []
    info = dict(map(str.strip, line.split(":", 1)) for line in reversed(lines) if ":" in line)
    return f"{info.get('model name', platform.processor())}, family {info.get('cpu family')}, model {info.get('model')}"


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("scry", help="the binary")
    p.add_argument("--quick", action="store_true", help="three models, briefly timed: to see that it works")
    p.add_argument("--keep", metavar="DIR", help="leave the bundles there")
    args = p.parse_args()
    shapes, seconds = ({k: SHAPES[k] for k in QUICK}, 0.1) if args.quick else (SHAPES, 0.7)
    start, remarks, lines = time.time(), [], []
    with tempfile.TemporaryDirectory() as scratch:
        for i, (name, shape) in enumerate(shapes.items()):
            folder = pathlib.Path(args.keep or scratch) / f"shape-{i}"
            folder.mkdir(parents=True, exist_ok=True)
            more, notes = measure(name, shape, args.scry, folder, seconds)
            lines += more
            remarks += notes
    print(f"{cpu()}; Python {platform.python_version()}, XGBoost {xgb.__version__}, LightGBM {lgb.__version__}, "
          f"ONNX Runtime {ort.__version__}; ns a row, one thread; {time.time() - start:.0f} s in all; load {os.getloadavg()[0]:.1f}\n")
    print("| model | batch | library | ONNX Runtime | scry | library / scry | ONNX / scry |\n|---|---|---|---|---|---|---|")
    print("\n".join(lines))
    for remark in remarks:
        print(f"\n{remark}.")


if __name__ == "__main__":
    main()
