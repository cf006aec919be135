"""Learn a stream of examples in chunks with a rule that was meta-trained on images of digits."""

from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split

from vsml import VSMLClassifier

x, x_test, y, y_test = train_test_split(*load_wine(return_X_y=True), random_state=0)
model = VSMLClassifier()
for start in range(0, len(x), 10):  # ten examples at a time, each seen once
    model.partial_fit(x[start : start + 10], y[start : start + 10], classes=[0, 1, 2])
print(f"{model.score(x_test, y_test):.3f} of new wines are classified right")
