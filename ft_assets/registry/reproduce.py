"""Rebuilding a released adapter from its record, to the byte."""

from dataclasses import dataclass
from pathlib import Path

from ft_assets.errors import Refused
from ft_assets.recipe import Training
from ft_assets.registry.names import release_named
from ft_assets.storage.artifacts import digest_folder
from ft_assets.storage.candidates import Candidate, get_candidate
from ft_assets.storage.child import run_alone
from ft_assets.storage.home import Home
from ft_assets.storage.releases import Release
from ft_assets.training.align_job import AlignmentJob, discard_alignment, read_alignment_outcome
from ft_assets.training.job import Source, TrainingJob, discard_work, read_outcome, write_whole


@dataclass(frozen=True)
class Reproduction:
    """A release built again. `rebuilt` is the digest of what came out."""

    address: str
    released: str
    rebuilt: str

    @property
    def equal(self) -> bool:
        return self.released == self.rebuilt


def reproduce(home: Home, name: str, quiet: bool = False) -> Reproduction:
    """Train a released adapter again from the base, splits and settings that its record names.

    Nothing of the adapter itself is read. Killed, the same call goes on from the last checkpoint. The same bytes come
    out on the same kind of machine with the same number of threads.

    Raises:
        WrongInput: there is no such release.
        Refused, BrokenEnvironment: an artifact that the record names was changed, or is gone.
    """
    release = release_named(home, name)
    candidate = get_candidate(home, release.model, release.candidate)
    work = home.scratch / "reproduce" / release.address.replace("@", "-")
    job = _training(home, release, candidate, work)
    if not job.output.exists():
        run_alone("ft_assets.training.worker", job.work / "job.json", quiet)
        read_outcome(job)
    rebuilt = digest_folder(job.output)
    if candidate.recipe.alignment is not None:
        rebuilt = _align(job, (rebuilt, job.output), candidate, quiet)
    discard_work(job)
    return Reproduction(release.address, release.adapter_digest, rebuilt)


def _training(home: Home, release: Release, candidate: Candidate, work: Path) -> TrainingJob:
    lineage = release.lineage
    if "settings" not in lineage:
        raise Refused(f"{release.address} was released before records named the settings of its training")
    job = TrainingJob(
        model=release.model,
        candidate=release.candidate,
        base_name=candidate.recipe.base.reference,
        base=(release.base_digest, home.artifacts.path("bases", release.base_digest)),
        train=_split(home, release, "train"),
        validation=_split(home, release, "validation"),
        settings=Training.model_validate(lineage["settings"]),
        scale=candidate.recipe.scale,
        work=work,
        stop=lineage.get("stop"),
    )
    work.mkdir(parents=True, exist_ok=True)
    write_whole(work / "job.json", job.model_dump_json(indent=2))
    return job


def _align(job: TrainingJob, adapter: Source, candidate: Candidate, quiet: bool) -> str:
    assert candidate.recipe.alignment is not None
    work = job.work / "alignment"
    aligned = AlignmentJob(
        candidate=job.candidate,
        base=job.base,
        adapter=adapter,
        train=job.train,
        validation=job.validation,
        settings=candidate.recipe.alignment,
        device=job.settings.device,
        work=work,
    )
    work.mkdir(exist_ok=True)
    write_whole(work / "job.json", aligned.model_dump_json(indent=2))
    run_alone("ft_assets.training.align_worker", work / "job.json", quiet)
    read_alignment_outcome(aligned)
    digest = digest_folder(aligned.output)
    discard_alignment(aligned)
    return digest


def _split(home: Home, release: Release, side: str) -> Source:
    digest = release.lineage["splits"][side]
    return digest, home.artifacts.path("datasets", digest)
