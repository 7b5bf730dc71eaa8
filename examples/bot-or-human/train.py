"""Trains the bot-or-human model: an access log -> bundle/model.ubj, bundle/golden.json.

    python train.py apache_logs crawler-user-agents.json

A line is a bot's when its user agent matches a pattern of the list; the model does not
see the user agent. Which field is which column stands in bundle/features.yaml alone:
scry reads the same file.
"""

import json
import pathlib
import re
import sys
import zlib
from datetime import datetime
from urllib.parse import urlsplit

import numpy as np
import xgboost as xgb
import yaml
from sklearn.metrics import log_loss, roc_auc_score

BUNDLE = pathlib.Path(__file__).parent / "bundle"
SEED = 20261124
FOLDS = 5
LINE = re.compile(
    r'(?P<remote_host>\S+) (?P<ident>\S+) (?P<remote_user>\S+) \[(?P<time>[^\]]+)\] '
    r'"(?P<request>(?:[^"\\]|\\.)*)" (?P<status>\d{3}|-) (?P<bytes>\d+|-) '
    r'"(?P<referrer>(?:[^"\\]|\\.)*)" "(?P<user_agent>(?:[^"\\]|\\.)*)"\s*'
)
REQUEST = re.compile(r"(?P<method>[A-Z]+) (?P<path>[^ ?]*)(?:\?(?P<query>\S*))? (?P<protocol>HTTP/\S+)")


def fields_of(line):
    """The fields that scry makes of a line (None: absent); None for one that is malformed."""
    m = LINE.fullmatch(line)
    if m is None:
        return None
    f = {k: None if v == "-" else v for k, v in m.groupdict().items()}
    time = datetime.strptime(f["time"], "%d/%b/%Y:%H:%M:%S %z")
    f["hour"], f["weekday"] = time.hour, time.isoweekday() % 7
    for name in ("status", "bytes"):
        f[name] = None if f[name] is None else int(f[name])
    request = REQUEST.fullmatch(f["request"] or "")
    if request:
        f |= request.groupdict()
        parts = f["path"].split("/")
        name, dot, extension = parts[-1].rpartition(".")
        f["extension"] = extension.lower() if name and extension else None
        f["path_depth"] = sum(part != "" for part in parts)
        f["path_length"], f["query_length"] = len(f["path"]), len(f["query"] or "")
    if f["referrer"] is not None:
        f["is_https_referrer"] = int(f["referrer"].lower().startswith("https:"))
        if "://" in f["referrer"]:
            f["referrer_host"] = urlsplit(f["referrer"]).hostname
    return f


def column(feature, value):
    """One field as the number the model sees: a category is its position."""
    categories = feature.get("categories")
    if value is None:
        if "missing" not in feature:
            raise ValueError(f"feature {feature['name']}: no {feature['path']} in a line")
        return float(feature["missing"])
    if categories is not None:
        return categories.index(value) if value in categories else np.nan
    return float(value)


def matrix(features, rows):
    return np.array([[column(f, v) for f, v in zip(features, row)] for row in rows], dtype=np.float64)


def read(features, log_path, crawlers_path):
    """Lines as rows of fields, whether a bot sent each, and the hosts that sent them."""
    with open(crawlers_path) as file:
        bot = re.compile("|".join(f"(?:{entry['pattern']})" for entry in json.load(file)))
    rows, bots, hosts = [], [], []
    with open(log_path, encoding="latin-1") as lines:
        for line in lines:
            fields = fields_of(line.rstrip("\n"))
            if fields is None:
                print(f"malformed: {line[:60]}...", file=sys.stderr)
                continue
            rows.append([fields.get(f["path"]) for f in features])
            bots.append(fields["user_agent"] is not None and bot.search(fields["user_agent"]) is not None)
            hosts.append(fields["remote_host"])
    return rows, np.array(bots), np.array(hosts)


def weights(hosts):
    """A host of n lines counts as the root of n: else a few busy ones are all there is to learn."""
    _, host, lines = np.unique(hosts, return_inverse=True, return_counts=True)
    return lines[host] ** -0.5


def train(x, y, weight):
    model = xgb.XGBClassifier(
        n_estimators=60, max_depth=4, learning_rate=0.1, min_child_weight=20,
        tree_method="hist", base_score=float(np.average(y, weights=weight)), random_state=SEED,
        n_jobs=1,  # sums of gradients depend on how the rows are shared out to threads
    )
    return model.fit(x, y, sample_weight=weight / weight.mean())


def held_out(x, y, hosts):
    """For each line the score of a model that saw no line of its host, and the mean it saw."""
    fold = np.array([zlib.crc32(host.encode()) % FOLDS for host in hosts])
    scores, means = np.zeros(len(y)), np.zeros(len(y))
    for k in range(FOLDS):
        seen = fold != k
        model = train(x[seen], y[seen], weights(hosts[seen]))
        scores[~seen], means[~seen] = model.predict_proba(x[~seen])[:, 1], y[seen].mean()
    return scores, means


def golden_rows(features, rows, rng):
    """100 rows to verify a scorer with: what may be missing is, and unknown categories."""
    def some():
        return list(rows[rng.integers(len(rows))])

    out = []
    for i, f in enumerate(features):
        for value in [None] * ("missing" in f) + ["no such " + f["name"]] * ("categories" in f):
            row = some()
            row[i] = value
            out.append(row)
    return out + [some() for _ in range(100 - len(out))]


def write_golden(features, rows):
    model = xgb.XGBClassifier()
    model.load_model(BUNDLE / "model.ubj")  # what the file says, not what was in memory
    rows = golden_rows(features, rows, np.random.default_rng(SEED))
    x = matrix(features, rows)
    entries = {
        "schema": 1,
        "library": f"xgboost {xgb.__version__}",
        "call": "XGBClassifier.predict_proba(X)[:,1]",
        "features": [f["name"] for f in features],
        "outputs": ["bot"],
        "objective": "binary:logistic",
        "categories": {f["name"]: f["categories"] for f in features if "categories" in f},
        "rows": rows,
        "scores": [[float(s)] for s in model.predict_proba(x)[:, 1]],
        "raw": [[float(s)] for s in model.predict(x, output_margin=True)],
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


def main(log_path, crawlers_path):
    features = yaml.safe_load((BUNDLE / "features.yaml").read_text())["features"]
    rows, y, hosts = read(features, log_path, crawlers_path)
    x = matrix(features, rows)
    scores, means = held_out(x, y, hosts)
    model = train(x, y, weights(hosts))
    model.get_booster().feature_names = [f["name"] for f in features]
    model.save_model(BUNDLE / "model.ubj")
    write_golden(features, rows)

    print(f"lines      {len(y)} of {len(set(hosts))} hosts, {y.mean():.1%} of them bots'")
    print(f"AUC        {roc_auc_score(y, scores):.4f}")
    print(f"logloss    {log_loss(y, scores):.4f} (the mean as every score: {log_loss(y, means):.4f})")
    print(f"model.ubj  {(BUNDLE / 'model.ubj').stat().st_size} bytes")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python train.py ACCESS_LOG CRAWLERS.json")
    main(*sys.argv[1:])
