"""Trains the buyer-intent model: simulated events -> bundle/model.ubj, bundle/golden.json.

    python train.py train.jsonl test.jsonl

Which value of an event is which column stands in bundle/features.yaml alone: scry
reads the same file.
"""

import json
import pathlib
import sys

import numpy as np
import xgboost as xgb
import yaml
from sklearn.metrics import log_loss, roc_auc_score

BUNDLE = pathlib.Path(__file__).parent / "bundle"
SEED = 20261102


def value_at(event, path):
    for step in path.split("."):
        if not isinstance(event, dict) or step not in event:
            return None
        event = event[step]
    return event


def column(feature, value):
    """One value of an event as the number the model sees: a category is its position."""
    categories = feature.get("categories")
    if categories is not None:
        return categories.index(value) if value in categories else np.nan
    if value is None:
        if "missing" not in feature:
            raise ValueError(f"feature {feature['name']}: no {feature['path']} in an event")
        return float(feature["missing"])
    return float(value)


def matrix(features, rows):
    return np.array([[column(f, v) for f, v in zip(features, row)] for row in rows], dtype=np.float64)


def read(features, path):
    """Events as rows of the values they hold (None: absent), and whether they led to a purchase."""
    rows, bought = [], []
    with open(path) as lines:
        for line in lines:
            record = json.loads(line)
            rows.append([value_at(record["event"], f["path"]) for f in features])
            bought.append(record["bought"])
    return rows, np.array(bought)


def hide(features, x, share, rng):
    """The model learns where a missing value belongs only if some are missing."""
    x = x.copy()
    for i, f in enumerate(features):
        if "missing" in f:
            x[rng.random(len(x)) < share, i] = np.nan
    return x


def train(features, x, y):
    model = xgb.XGBClassifier(
        n_estimators=100, max_depth=5, learning_rate=0.1, min_child_weight=30,
        tree_method="hist", max_bin=128, base_score=float(y.mean()), random_state=SEED,
        n_jobs=1,  # sums of gradients depend on how the rows are shared out to threads
    )
    model.fit(x, y)
    model.get_booster().feature_names = [f["name"] for f in features]
    model.save_model(BUNDLE / "model.ubj")


def thresholds(model):
    """The split values of the model, a list for each feature."""
    learner = json.loads(model.get_booster().save_raw("json"))["learner"]
    found = [set() for _ in learner["feature_names"]]
    for tree in learner["gradient_booster"]["model"]["trees"]:
        for left, feature, value in zip(tree["left_children"], tree["split_indices"], tree["split_conditions"]):
            if left != -1:
                found[feature].add(value)
    return [sorted(values) for values in found]


def neighbours(t):
    """A float32 threshold, and what lies beside it as a float32 and as a float64."""
    t32 = np.float32(t)
    yield "threshold", float(t32)
    yield "threshold_f32_up", float(np.nextafter(t32, np.float32(np.inf)))
    yield "threshold_f32_down", float(np.nextafter(t32, np.float32(-np.inf)))
    yield "threshold_f64_up", float(np.nextafter(np.float64(t32), np.inf))
    yield "threshold_f64_down", float(np.nextafter(np.float64(t32), -np.inf))


def golden_rows(features, model, rows, rng):
    """200 rows to verify a scorer with: what may be missing is, and the edges of splits."""
    def some():
        return list(rows[rng.integers(len(rows))])

    out = []
    optional = [i for i, f in enumerate(features) if "missing" in f]
    for i in optional:
        row = some()
        row[i] = None
        out.append(("missing", row))
    row = some()
    for i in optional:
        row[i] = None
    out.append(("all_missing", row))
    for i, (f, found) in enumerate(zip(features, thresholds(model))):
        if "categories" in f:
            row = some()
            row[i] = "no such " + f["name"]
            out.append(("unknown_category", row))
            continue
        if found:
            for kind, value in neighbours(rng.choice(found)):
                row = some()
                row[i] = value
                out.append((kind, row))
    while len(out) < 200:
        out.append(("ordinary", some()))
    return out


def write_golden(features, rows, rng):
    model = xgb.XGBClassifier()
    model.load_model(BUNDLE / "model.ubj")  # what the file says, not what was in memory
    kinds, rows = zip(*golden_rows(features, model, rows, rng))
    x = matrix(features, rows)
    entries = {
        "schema": 1,
        "library": f"xgboost {xgb.__version__}",
        "call": "XGBClassifier.predict_proba(X)[:,1]",
        "features": [f["name"] for f in features],
        "outputs": ["buy"],
        "objective": "binary:logistic",
        "categories": {f["name"]: f["categories"] for f in features if "categories" in f},
        "rows": rows,
        "scores": [[float(s)] for s in model.predict_proba(x)[:, 1]],
        "raw": [[float(s)] for s in model.predict(x, output_margin=True)],
        "kinds": kinds,
    }
    with open(BUNDLE / "golden.json", "w") as out:
        out.write("{\n")
        for n, (key, value) in enumerate(entries.items()):
            if key in ("rows", "scores", "raw"):
                text = "[\n  " + ",\n  ".join(json.dumps(v) for v in value) + "\n ]"
            else:
                text = json.dumps(value)
            out.write(f' "{key}": {text}{"," if n < len(entries) - 1 else ""}\n')
        out.write("}\n")
    return model


def main(train_path, test_path):
    features = yaml.safe_load((BUNDLE / "features.yaml").read_text())["features"]
    rng = np.random.default_rng(SEED)
    rows, y = read(features, train_path)
    train(features, hide(features, matrix(features, rows), 0.01, rng), y)
    rows, y = read(features, test_path)
    model = write_golden(features, rows, rng)

    x = matrix(features, rows)
    p = model.predict_proba(x)[:, 1]
    first = x[:, [f["name"] for f in features].index("depth")] == 1
    print(f"events            {len(y)}, of which {y.mean():.1%} in sessions that end in a purchase")
    print(f"AUC               {roc_auc_score(y, p):.4f}")
    print(f"AUC, first pages  {roc_auc_score(y[first], p[first]):.4f}")
    print(f"logloss           {log_loss(y, p):.4f} (the mean as every score: {log_loss(y, np.full(len(y), y.mean())):.4f})")
    print(f"model.ubj         {(BUNDLE / 'model.ubj').stat().st_size} bytes")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python train.py TRAIN.jsonl TEST.jsonl")
    main(*sys.argv[1:])
