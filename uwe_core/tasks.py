"""RankingTask: which target space answers which kind of query. Both directions of a pair are two tasks."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from uwe_core.errors import UnknownTaskError

# What a ranking without a task is called; no configured task may have the name.
ZERO_SHOT = "zero-shot"


class RankingTask(BaseModel):
    """A task `T(Q, Y)`: rank every target of `target_space` for a query.

    Attributes:
        queries: what a query is, for people.
        exclude_query: never return the target whose text is the query itself (alike skills, not the same one).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    description: str
    queries: str
    target_space: str
    exclude_query: bool = False
    default_top_k: int = Field(default=10, ge=1)
    example: str | None = None


def zero_shot_task(space: str) -> RankingTask:
    """Rank a space for any text, though nothing was trained or configured for it."""
    return RankingTask(name=ZERO_SHOT, description="Any text against any space.", queries="texts", target_space=space)


def is_standard(task: RankingTask) -> bool:
    """Whether it is one of the six, over any taxonomy; a task of one's own may have the name of one and is not it."""
    taxonomy = task.target_space.rpartition("-")[0]
    return standard_tasks(taxonomy).get(task.name) == task


def standard_task(name: str, taxonomy: str) -> RankingTask:
    """One of the six tasks over a taxonomy.

    Raises:
        UnknownTaskError: there is none of that name.
    """
    tasks = standard_tasks(taxonomy)
    if name not in tasks:
        raise UnknownTaskError(name, sorted(tasks))
    return tasks[name]


def standard_tasks(taxonomy: str) -> dict[str, RankingTask]:
    """The six tasks of the labour market over the skills and jobs of one taxonomy, by name."""
    skills, jobs = f"{taxonomy}-skills", f"{taxonomy}-jobs"
    tasks = [
        RankingTask(
            name="job2skill",
            description="The skills a job needs.",
            queries="job titles",
            target_space=skills,
            example="pharmacy technician",
        ),
        RankingTask(
            name="skill2job",
            description="The jobs that need a skill.",
            queries="skills",
            target_space=jobs,
            example="measure vital signs",
        ),
        RankingTask(
            name="skillnorm",
            description="The official skill that a differently worded skill means.",
            queries="skills in anybody's words",
            target_space=skills,
            example="check temperature and breathing rate",
        ),
        RankingTask(
            name="skillextract",
            description="The skills that a sentence of a vacancy asks for.",
            queries="vacancy sentences",
            target_space=skills,
            example="At our counter you explain to customers how often to use their inhaler.",
        ),
        RankingTask(
            name="skillsim",
            description="Skills alike to a skill, itself left out.",
            queries="skills",
            target_space=skills,
            exclude_query=True,
            example="measure vital signs",
        ),
        RankingTask(
            name="jobnorm",
            description="The official job that a messy vacancy title means.",
            queries="vacancy titles",
            target_space=jobs,
            example="Patient Transport Asst. (m/f/d), 24 hrs/wk",
        ),
    ]
    return {task.name: task for task in tasks}
