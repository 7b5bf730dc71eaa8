#!/bin/sh
# Makes the small golden sets of the versions that the shared models lack, in the
# directory above. Needs network, Python 3.11 and, for XGBoost 3.4, 3.12.
#
#   ./make.sh [PYTHON3.11 [PYTHON3.12]]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

venv() { # NAME PYTHON PACKAGES...: the packages that all versions share
	name=$1 python=$2
	shift 2
	"$python" -m venv "$work/$name"
	"$work/$name/bin/pip" -q install "$@"
}

make() { # VENV PACKAGE==VERSION
	"$work/$1/bin/pip" -q install --no-deps --target "$work/$2" "$2"
	echo "$2"
	PYTHONPATH="$work/$2" "$work/$1/bin/python" -W ignore "$here/make_golden.py" "$here/.."
}

venv old "${1:-python3.11}" numpy==1.23.5 scipy==1.10.1 pandas==1.5.3 scikit-learn==1.2.2
venv new "${2:-python3.12}" numpy scipy pandas scikit-learn
for package in xgboost==1.0.2 xgboost==1.3.3 xgboost==1.6.2 xgboost==2.0.3 xgboost-cpu==3.0.5 xgboost-cpu==3.1.3 \
	lightgbm==2.3.1 lightgbm==3.3.5 lightgbm==4.0.0; do
	make old "$package"
done
make new xgboost-cpu==3.4.1
