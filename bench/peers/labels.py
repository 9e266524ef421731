"""cleanlab's side of bench/runs/labels.ts: labels that look wrong, from cross-validated probabilities of the same features.

    labels.py FOLDER N D C

FOLDER has features.f32 (n x d, after the feature map) and labels.i32 (n). Logistic regression of inverse strength C, 5 folds; prints
one line of JSON with the rows ranked by find_label_issues and the seconds of cross-validation and of cleanlab.
"""

import json
import sys
import time

import cleanlab
import numpy as np
from cleanlab.filter import find_label_issues
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

folder, n, d = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
features = np.fromfile(f"{folder}/features.f32", np.float32).reshape(n, d)
labels = np.fromfile(f"{folder}/labels.i32", np.int32)
begin = time.perf_counter()
classifier = LogisticRegression(C=float(sys.argv[4]), max_iter=200)
probabilities = cross_val_predict(classifier, features, labels, cv=5, method="predict_proba")
middle = time.perf_counter()
ranked = find_label_issues(labels, probabilities, return_indices_ranked_by="self_confidence")
end = time.perf_counter()
print(
    json.dumps(
        {
            "version": cleanlab.__version__,
            "accuracy": float((probabilities.argmax(1) == labels).mean()),
            "ranked": ranked.tolist(),
            "crossValidation": middle - begin,
            "cleanlab": end - middle,
        }
    )
)
