"""Makes small golden models with whichever XGBoost or LightGBM is installed.

    python make_golden.py OUT

Each set is a directory OUT/<library>-<version>-<case> of model.json, model.ubj or
model.txt and golden.json: rows (null: missing), the library's scores and, as raw, its
margins. make.sh runs it for every version that the shared models lack.
"""
import json
import os
import sys

import numpy as np

ROUNDS = 3


def data(classes=2, categories=0, seed=5):
    """300 rows of three columns with holes, the last one a category's code if asked."""
    rng = np.random.RandomState(seed)
    x = np.round(rng.normal(size=(300, 3)), 2)
    signal = x[:, 0] + (x[:, 1] > 0.3) - 0.5 * x[:, 2]
    if categories:
        x[:, 2] = rng.randint(0, categories, size=300)
        signal = x[:, 0] + (x[:, 2] % 3 == 1) * 2.0
    x[rng.uniform(size=x.shape) < 0.1] = np.nan
    signal = signal + rng.normal(scale=0.3, size=300)
    y = np.digitize(signal, np.quantile(signal, np.arange(1, classes) / classes))
    return x, y, signal


def rows_for(x, thresholds=(), codes=()):
    """Ordinary rows, each column missing, thresholds and their neighbours, odd codes."""
    rows = [list(r) for r in x[:4]]
    rows += [[None, 0.1, 1.0], [0.1, None, 1.0], [0.1, 0.1, None], [None, None, None]]
    rows += [[1e30, -1e30, 0.0], [-1e30, 1e30, 1.0], [0.0, 0.0, 0.0]]
    for feature, value in list(thresholds)[:1]:
        f32 = np.float32(value)
        for v in (value, float(np.nextafter(f32, np.float32(9e9))), float(np.nextafter(f32, np.float32(-9e9))),
                  float(np.nextafter(value, 9e9)), float(np.nextafter(value, -9e9))):
            row = [0.1, 0.1, 1.0]
            row[feature] = v
            rows.append(row)
    rows += [[0.1, 0.1, float(c)] for c in codes]
    return [[None if v is None or v != v else float(v) for v in r] for r in rows]


def matrix(rows):
    return np.array([[np.nan if v is None else v for v in r] for r in rows], dtype=np.float64)


def write(out, name, library, call, rows, scores, raw, features):
    scores, raw = (np.asarray(a, dtype=np.float64).reshape(len(rows), -1).tolist() for a in (scores, raw))
    golden = {"library": library, "call": call, "features": features, "rows": rows, "scores": scores, "raw": raw}
    with open(os.path.join(out, name, "golden.json"), "w") as f:
        json.dump(golden, f, separators=(",", ":"))


def xgboost_sets(out):
    import xgboost as xgb

    version = tuple(int(p) for p in xgb.__version__.split(".")[:2])
    features = ["a", "b", "c"]

    def save(case, model, ubj):
        """Saves a model and loads it again: a file holds fewer digits of base_score."""
        name = "xgb-%s-%s" % (xgb.__version__, case)
        os.makedirs(os.path.join(out, name), exist_ok=True)
        path = os.path.join(out, name, "model.ubj" if ubj else "model.json")
        model.save_model(path)
        fresh = xgb.XGBClassifier() if isinstance(model, xgb.XGBClassifier) else xgb.Booster({"nthread": 1})
        fresh.load_model(path)
        return fresh

    def store(case, rows, call, scores, raw):
        write(out, "xgb-%s-%s" % (xgb.__version__, case), "xgboost " + xgb.__version__, call, rows, scores, raw, features)

    def thresholds(booster):
        for line in "".join(booster.get_dump()).splitlines():
            if "<" in line:
                feature, value = line[line.index("[") + 1:line.index("]")].split("<")
                yield features.index(feature), float(value)

    def train(case, params, y=None, x=None, kinds=None, codes=(), bounds=None, ubj=False, inplace=False, rounds=ROUNDS):
        dx, dy, signal = data(classes=params.get("num_class", 2))
        x = dx if x is None else x
        extra = {"feature_types": kinds} if kinds else {}
        if kinds and version >= (1, 5):
            extra["enable_categorical"] = True
        d = xgb.DMatrix(x, label=dy if y is None else y, feature_names=features, **extra)
        if bounds is not None:
            d.set_float_info("label_lower_bound", bounds[0])
            d.set_float_info("label_upper_bound", bounds[1])
        booster = xgb.train(dict({"max_depth": 2, "eta": 0.5, "seed": 1, "nthread": 1}, **params), d, rounds)
        undumped = kinds or params.get("booster") == "gblinear" or "multi_strategy" in params
        rows = rows_for(x, [] if undumped else thresholds(booster), codes)
        m = matrix(rows)
        booster = save(case, booster, ubj)
        if inplace:
            call = "Booster.inplace_predict(X)"
            booster.feature_names = None  # an array has none
            scores, raw = booster.inplace_predict(m), booster.inplace_predict(m, predict_type="margin")
            booster.feature_names = features
        else:
            call = "Booster.predict(DMatrix(X))"
            test = xgb.DMatrix(m, feature_names=features, **extra)
            scores, raw = booster.predict(test), booster.predict(test, output_margin=True)
        store(case, rows, call, scores, raw)

    def early_stopped(case, **params):
        """Scored as the scikit-learn wrapper does: the rounds up to best_iteration."""
        x, y, _ = data()
        params = dict({"n_estimators": 12, "max_depth": 2, "learning_rate": 1.0, "n_jobs": 1, "random_state": 1}, **params)
        fit = {"eval_set": [(x[:60], 1 - y[:60])], "verbose": False}
        if version >= (2, 0):
            params["early_stopping_rounds"] = 2
        else:
            fit["early_stopping_rounds"] = 2
        model = xgb.XGBClassifier(**params)
        model.fit(x[60:], y[60:], **fit)
        rows = rows_for(x)
        m = matrix(rows)
        model = save(case, model, ubj=version >= (1, 6))
        store(case, rows, "XGBClassifier.predict_proba(X)[:,1]", model.predict_proba(m)[:, 1], model.predict(m, output_margin=True))

    _, y, signal = data()
    positive = np.exp(signal)
    counts = np.floor(positive)
    early_stopped("early")
    if version not in ((1, 3), (2, 0), (3, 0)):
        train("softprob", {"objective": "multi:softprob", "num_class": 3})
    dart = {"objective": "binary:logistic", "booster": "dart", "rate_drop": 0.5, "one_drop": 1}
    if version not in ((2, 0), (3, 0)):
        train("dart", dict(dart, base_score=0.3), inplace=version >= (1, 4), rounds=4)
    if version == (1, 0):
        train("poisson", {"objective": "count:poisson"}, y=counts)
        train("linear", {"objective": "reg:linear"}, y=signal)
        train("hinge", {"objective": "binary:hinge"})
    if version in ((1, 3), (3, 4)):
        base = {"base_score": [0.3, 0.1, -0.2]} if version >= (3, 1) else {}  # gblinear takes the first for all
        train("gblinear", dict({"objective": "multi:softprob", "num_class": 3, "booster": "gblinear"}, **base))
    if version == (1, 3):
        train("forest-cox", {"objective": "survival:cox", "num_parallel_tree": 2, "subsample": 0.5}, y=positive)
        train("pseudohuber", {"objective": "reg:pseudohubererror"}, y=signal)
        train("logitraw", {"objective": "binary:logitraw", "base_score": 0.3})
    if version == (1, 6):
        train("aft", {"objective": "survival:aft"}, bounds=(positive, positive * 2), ubj=True)
    if version == (2, 0):
        train("tweedie", {"objective": "reg:tweedie"}, y=positive)
        train("squaredlog", {"objective": "reg:squaredlogerror", "base_score": 0.7}, y=positive)
        train("absolute", {"objective": "reg:absoluteerror"}, y=signal, ubj=True)
        early_stopped("early-forest", num_parallel_tree=2, subsample=0.6)
    if version in ((2, 0), (3, 4)):
        train("quantile", {"objective": "reg:quantileerror", "quantile_alpha": [0.1, 0.5, 0.9], "eta": 1.5}, y=signal)
    if version >= (2, 0):
        two = np.stack([signal, signal ** 2], axis=1)
        train("vector", {"objective": "reg:squarederror", "multi_strategy": "multi_output_tree", "tree_method": "hist"}, y=two, ubj=True)
    if version in ((3, 0), (3, 4)):
        train("targets", {"objective": "binary:logistic"}, y=np.stack([y, 1 - y], axis=1))
    if version >= (3, 3):
        train("expectile", {"objective": "reg:expectileerror", "expectile_alpha": [0.2, 0.8]}, y=signal)
    if version >= (1, 6):
        x, cat_y, _ = data(categories=7)
        codes = [0, 1, 2, 3, 6, 7, 31, 32, 33, 100, 1e7, 3.7, 2.9999999999]
        if version >= (1, 7):
            codes += [-1, -0.5]  # 1.6 refuses negative codes
        common = {"objective": "binary:logistic", "tree_method": "hist", "max_depth": 3}
        train("partition", dict(common, max_cat_to_onehot=1), y=cat_y, x=x, kinds=["q", "q", "c"], codes=codes, inplace=True)
        if version in ((1, 6), (3, 4)):
            train("onehot", dict(common, max_cat_to_onehot=9), y=cat_y, x=x, kinds=["q", "q", "c"], codes=codes, ubj=True, inplace=True)
    if version >= (3, 1):
        frames(xgb, save, store)


def frames(xgb, save, store):
    """Categories by name, as a pandas frame gives them; the file then holds them."""
    import pandas as pd

    x, y, _ = data(categories=4)
    # Versions 3.1 to 3.3 store letters beyond ASCII cut at the wrong places.
    towns = ["z\u00fcri", "bern", "gen\u00e8ve", "basel"] if xgb.__version__ > "3.4" else ["zug", "bern", "chur", "basel"]
    for case, names in (("names", towns), ("numbers", [30, 10, 20, -5])):
        values = [None if c != c else names[int(c)] for c in x[:, 2]]
        frame = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": pd.Categorical(values, categories=names)})
        d = xgb.DMatrix(frame, label=y, enable_categorical=True)
        booster = xgb.train({"objective": "binary:logistic", "tree_method": "hist", "max_depth": 3, "nthread": 1}, d, ROUNDS)
        rows = [[None if v != v else float(v) for v in r[:2]] + [c] for r, c in zip(x[:12], values)]
        test = xgb.DMatrix(frame[:12], enable_categorical=True)
        booster = save(case, booster, ubj=case == "numbers")
        store(case, rows, "Booster.predict(DMatrix(frame))", booster.predict(test), booster.predict(test, output_margin=True))


def lightgbm_sets(out):
    import lightgbm as lgb

    version = tuple(int(p) for p in lgb.__version__.split(".")[:2])
    features = ["a", "b", "c"]

    def train(case, params, y=None, x=None, categorical=(), codes=()):
        dx, dy, _ = data(classes=params.get("num_class", 2))
        x = dx if x is None else x
        params = dict({"num_leaves": 5, "min_data_in_leaf": 5, "learning_rate": 0.5, "verbose": -1, "num_threads": 1, "seed": 1}, **params)
        d = lgb.Dataset(x, label=dy if y is None else y, feature_name=features, categorical_feature=list(categorical), params={"verbose": -1})
        booster = lgb.train(params, d, ROUNDS)
        name = "lgb-%s-%s" % (lgb.__version__, case)
        os.makedirs(os.path.join(out, name), exist_ok=True)
        booster.save_model(os.path.join(out, name, "model.txt"))
        # The booster in memory: 2.x reads its own text back a bit off.
        thresholds = []
        for tree in booster.dump_model()["tree_info"]:
            root = tree["tree_structure"]
            if root.get("decision_type") == "<=":
                thresholds.append((root["split_feature"], root["threshold"]))
        rows = rows_for(x, thresholds, codes)
        m = matrix(rows)
        write(out, name, "lightgbm " + lgb.__version__, "Booster.predict(X)", rows, booster.predict(m), booster.predict(m, raw_score=True), features)

    _, _, signal = data()
    positive = np.exp(signal)
    x, cat_y, _ = data(categories=40)
    codes = [0, 1, 5, 31, 32, 33, 39, 40, 100, 1e10, -1, -0.5, 3.7, 2.9999999999]
    train("category", {"objective": "binary", "min_data_per_group": 5, "cat_smooth": 1}, y=cat_y, x=x, categorical=[2], codes=codes)
    train("multiclass", {"objective": "multiclass", "num_class": 3})
    if version < (4, 0):
        train("zero", {"objective": "poisson", "zero_as_missing": True}, y=positive)
        train("rf", {"objective": "binary", "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6, "sigmoid": 2.0})
        train("lambda", {"objective": "xentlambda", "use_missing": False}, y=1 / (1 + np.exp(-signal)))
    if version == (3, 3):
        train("ova", {"objective": "ova", "num_class": 3})
        train("dart", {"objective": "tweedie", "boosting": "dart", "drop_rate": 0.9}, y=positive)
        train("sqrt", {"objective": "l1", "reg_sqrt": True}, y=signal)
    if version >= (3, 2):
        train("linear", {"objective": "l2", "linear_tree": True}, y=signal * 3)


if __name__ == "__main__":
    for sets in (xgboost_sets, lightgbm_sets):
        try:
            sets(sys.argv[1])
        except ImportError as e:
            print(sets.__name__, "skipped:", e)
