"""The data sets of WorkBench from typed records, whatever they were read from; docs/evaluation.md has the reasons."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from training.sources.esco import Occupation, Relation, Skill
from training.sources.onet import TaskActivity
from training.workbench.dataset import RankingDataset, Split, assemble

# Names of target spaces; a release more or less does not make a space new.
SKILLS = "esco-skills"
JOBS = "esco-jobs"
SKILLSIM_SEED = 0
SKILLSIM_VALIDATION_SHARE = 0.1


def job2skill(
    skills: Sequence[Skill], occupations: Sequence[Occupation], relations: Iterable[Relation]
) -> RankingDataset:
    """The skills that an occupation needs, essential or optional."""
    titles = {job.uri: job.label for job in occupations}
    return assemble(
        task="job2skill",
        name="job2skill",
        split="test",
        target_space=SKILLS,
        targets={skill.uri: skill.label for skill in skills},
        pairs=((titles[relation.occupation_uri], relation.skill_uri) for relation in relations),
    )


def skill2job(
    skills: Sequence[Skill], occupations: Sequence[Occupation], relations: Iterable[Relation]
) -> RankingDataset:
    """The occupations that need a skill."""
    labels = {skill.uri: skill.label for skill in skills}
    return assemble(
        task="skill2job",
        name="skill2job",
        split="test",
        target_space=JOBS,
        targets={job.uri: job.label for job in occupations},
        pairs=((labels[relation.skill_uri], relation.occupation_uri) for relation in relations),
    )


def skillnorm(skills: Sequence[Skill], split: Split) -> RankingDataset:
    """The skill that an alternative label means.

    Validation: the texts that are the first alternative label of any skill, with all their skills; test: the rest.
    """
    first = {skill.alternative_labels[0].strip() for skill in skills if skill.alternative_labels}
    return assemble(
        task="skillnorm",
        name="skillnorm",
        split=split,
        target_space=SKILLS,
        targets={skill.uri: skill.label for skill in skills},
        pairs=(
            (label, skill.uri)
            for skill in skills
            for label in skill.alternative_labels
            if (label.strip() in first) == (split == "validation")
        ),
    )


def skillextract(
    variant: str, skills: Sequence[Skill], annotations: Iterable[tuple[str, str]], split: Split
) -> RankingDataset:
    """The skills in a sentence of a vacancy; annotations are sentence and label, and labels that are no skill go."""
    return assemble(
        task="skillextract",
        name=f"skillextract_{variant}",
        split=split,
        target_space=SKILLS,
        targets={skill.label: skill.label for skill in skills},
        pairs=((sentence, label.strip()) for sentence, label in annotations),
    )


def jobnorm(occupations: Sequence[Occupation], titles: Iterable[tuple[str, str]], split: Split) -> RankingDataset:
    """The occupation that a vacancy title means; titles are text and occupation URI, one query per row."""
    return assemble(
        task="jobnorm",
        name="jobnorm",
        split=split,
        target_space=JOBS,
        targets={job.uri: job.label for job in occupations},
        pairs=titles,
        merge_queries=False,
    )


def skillsim(rows: Sequence[tuple[str, str, bool]], split: Split) -> RankingDataset:
    """Skills alike; rows are two skills and whether they are related. The targets are all skills of all rows."""
    rows = [(left.strip(), right.strip(), related) for left, right, related in rows]
    queries = list(dict.fromkeys(left for left, _, related in rows if related))
    chosen = random.Random(SKILLSIM_SEED).sample(queries, round(len(queries) * SKILLSIM_VALIDATION_SHARE))  # noqa: S311
    validation = frozenset(chosen)
    return assemble(
        task="skillsim",
        name="skillsim",
        split=split,
        target_space="skillmatch",
        targets={skill: skill for left, right, _ in rows for skill in (left, right)},
        pairs=(
            (left, right)
            for left, right, related in rows
            if related and (left in validation) == (split == "validation")
        ),
        exclude_query=True,
    )


def task2activity(rows: Sequence[TaskActivity]) -> RankingDataset:
    """Zero-shot: the detailed work activities of O*NET that a task statement is an instance of."""
    return assemble(
        task="task2activity",
        name="task2activity",
        split="test",
        target_space="onet-activities",
        targets={row.activity_id: row.activity for row in rows},
        pairs=((row.task, row.activity_id) for row in rows),
    )
