"""What the tests of claims.yaml measure, by name: the functions of all studies that compute effects."""

from pipeline.studies.claims import Measure
from pipeline.studies.cloning import claims as cloning
from pipeline.studies.feedback import claims as feedback
from pipeline.studies.learning import claims as learning
from pipeline.studies.recall import claims as recall
from pipeline.studies.unification import claims as unification

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
