"""What the tests of claims.yaml measure, by name: the functions of all studies that compute effects."""

from pipeline.claims import Measure
from pipeline.effects import cloning, feedback, learning, recall, unification

MEASURES: dict[str, Measure] = {
    function.__name__: function
    for function in (
        learning.accuracy,
        learning.over_fitting,
        learning.changed_task,
        learning.second_exposure,
        learning.association,
        learning.gradient_cosine,
        unification.deviation,
        cloning.clone_accuracy,
        feedback.feedback_score,
        recall.recall_accuracy,
    )
}
