"""Fairness and accuracy metrics: plain functions of arrays, with no Ray and no network."""

from cfray.metrics.agreement import GroupAgreement, group_agreement
from cfray.metrics.attributes import fairness_of_attributes, fairness_of_targets, fairness_summary, summarise
from cfray.metrics.bootstrap import Interval, bootstrap_interval, paired_bootstrap_interval
from cfray.metrics.classifier import ClassifierFairness, classifier_fairness
from cfray.metrics.divergence import ndkl
from cfray.metrics.diversity import SharedInformation, mutual_information, vendi_score
from cfray.metrics.fairness import (
    Estimate,
    RankFairness,
    paired_difference,
    rank_fairness,
)
from cfray.metrics.ranking import normalise, rank_top_k, similarity
from cfray.metrics.retrieval import (
    Recall,
    RetrievalRanks,
    WorstGroupRecall,
    recall_at_k,
    retrieval_ranks,
    worst_group_recall,
)
from cfray.metrics.skew import bias_at_k, max_skew, min_skew
from cfray.metrics.zero_shot import able, class_prototypes, top_k_accuracy, true_class_ranks, zero_shot_accuracy

__all__ = [
    "ClassifierFairness",
    "Estimate",
    "GroupAgreement",
    "Interval",
    "RankFairness",
    "Recall",
    "RetrievalRanks",
    "SharedInformation",
    "WorstGroupRecall",
    "able",
    "bias_at_k",
    "bootstrap_interval",
    "class_prototypes",
    "classifier_fairness",
    "fairness_of_attributes",
    "fairness_of_targets",
    "fairness_summary",
    "group_agreement",
    "max_skew",
    "min_skew",
    "mutual_information",
    "ndkl",
    "normalise",
    "paired_bootstrap_interval",
    "paired_difference",
    "rank_fairness",
    "rank_top_k",
    "recall_at_k",
    "retrieval_ranks",
    "similarity",
    "summarise",
    "top_k_accuracy",
    "true_class_ranks",
    "vendi_score",
    "worst_group_recall",
    "zero_shot_accuracy",
]
