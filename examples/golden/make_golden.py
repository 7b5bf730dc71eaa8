"""Golden rows: rows and the scores that the training library gives them, for scry.

    pip install xgboost lightgbm pandas scikit-learn
    python make_golden.py OUT

trains three small models and writes OUT/xgboost-wrapper, OUT/xgboost-booster and
OUT/lightgbm, each a model file and golden.json. `scry model verify OUT/lightgbm` scores
the rows again. For a model of your own, copy write_golden and the call that fits it.
"""
import json
import pathlib
import sys

import lightgbm as lgb
import numpy as np
import pandas as pd
import xgboost as xgb


def write_golden(folder, X, scores):
    """X: a data frame of rows as the model takes them; scores: the library's for them."""
    rows = X.astype(object).where(X.notna(), None).values.tolist()
    scores = np.asarray(scores, dtype=np.float64).reshape(len(rows), -1).tolist()
    golden = {"schema": 1, "features": list(X.columns), "rows": rows, "scores": scores}
    with open(f"{folder}/golden.json", "w") as f:
        json.dump(golden, f, allow_nan=False)


def xgboost_wrapper(folder, X):
    model = xgb.XGBClassifier()
    model.load_model(f"{folder}/model.ubj")  # what the file says, not what is in memory
    write_golden(folder, X, model.predict_proba(X)[:, 1])  # of more classes: without [:, 1]


def xgboost_booster(folder, X):
    model = xgb.Booster(model_file=f"{folder}/model.ubj")
    best = model.attr("best_iteration")  # scry scores these rounds, as the wrapper does; predict alone takes all
    rounds = (0, int(best) + 1) if best else (0, 0)
    write_golden(folder, X, model.predict(xgb.DMatrix(X, enable_categorical=True), iteration_range=rounds))


def lightgbm_booster(folder, X):
    model = lgb.Booster(model_file=f"{folder}/model.txt")
    write_golden(folder, X, model.predict(X))


def data(n, seed):
    """Rows with holes, a category among the columns, and a label."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame({
        "age": rng.integers(18, 90, n),
        "basket.value": np.round(rng.gamma(2, 30, n), 2),
        "visits": rng.poisson(4, n).astype(np.float32),
        "newsletter": rng.random(n) < 0.3,
        "country": pd.Categorical(rng.choice(["DE", "FR", "GB", "NL", "PL"], n), categories=["DE", "FR", "GB", "NL", "PL"]),
    })
    y = X["basket.value"] / 60 + X["country"].isin(["FR", "PL"]) + rng.normal(0, 0.5, n) > 1.5
    for name in ["basket.value", "visits", "country"]:
        X.loc[rng.random(n) < 0.1, name] = None
    return X, y.astype(int)


def main(out):
    (X, y), (held, held_y), (golden, _) = data(3000, 1), data(1000, 2), data(300, 3)
    folders = [pathlib.Path(out) / name for name in ("xgboost-wrapper", "xgboost-booster", "lightgbm")]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    wrapper, booster, light = folders

    model = xgb.XGBClassifier(n_estimators=200, max_depth=4, enable_categorical=True, early_stopping_rounds=5)
    model.fit(X, y, eval_set=[(held, held_y)], verbose=False)
    model.save_model(wrapper / "model.ubj")
    xgboost_wrapper(wrapper, golden)

    train = xgb.DMatrix(X, label=y, enable_categorical=True)
    evals = [(xgb.DMatrix(held, label=held_y, enable_categorical=True), "held")]
    params = {"objective": "binary:logistic", "max_depth": 4}
    xgb.train(params, train, 200, evals=evals, early_stopping_rounds=5, verbose_eval=False).save_model(booster / "model.ubj")
    xgboost_booster(booster, golden)

    lgb.train({"objective": "binary", "verbose": -1}, lgb.Dataset(X, y), 100).save_model(light / "model.txt")
    lightgbm_booster(light, golden)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
