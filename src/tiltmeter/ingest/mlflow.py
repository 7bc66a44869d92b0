"""The MLflow server: registered models, their baselines, runs with numbers and files. Every call has a time limit."""

from __future__ import annotations

import json
import os
import re
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from tiltmeter.domain.errors import ConfigError, StoreError, UsageError
from tiltmeter.ingest.mlflow_errors import in_our_words
from tiltmeter.ingest.mlflow_limits import (
    CALL_LIMITS,
    batches,
    clean_names,
    data_name,
    experiment_name,
    run_key,
    run_name,
    tag_value,
)
from tiltmeter.profiling.codec import decode_baseline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tiltmeter.domain.baseline import Reference

BASELINE_FILE = "tiltmeter/baseline.tmb"
"""Artifact of a training run that holds its baseline."""

CHAMPION = "champion"
"""Alias of the version that is in charge."""

T = TypeVar("T")

RUN_KEY = "tiltmeter.key"
"""Tag that holds a hash of what a run is about."""

_ADDRESS = re.compile(r"models:/(?P<name>[^@/]+)(?:@(?P<alias>[^@/]+)|/(?P<version>[0-9]+))")
_PLAIN = re.compile(r"[\w\-. :/@+]+")
_NO_TAGS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class RegisteredVersion:
    """A version of a registered model.

    Args:
        name: of the model.
        version: number, as text.
        run_id: that trained it.
    """

    name: str
    version: str
    run_id: str


@dataclass(frozen=True, slots=True)
class RunData:
    """Data that a run is about: named, not copied.

    Args:
        name: for people.
        digest: differs where the data differ.
        rows: how many.
        source: where they lie.
    """

    name: str
    digest: str
    rows: int
    source: Mapping[str, str]


@dataclass(slots=True, eq=False)
class Tracking:
    """One MLflow server.

    Args:
        uri: of the server.
    """

    uri: str
    _client: Any = None
    _experiments: dict[str, str] = field(default_factory=dict)

    def registered(self, address: str) -> RegisteredVersion:
        """The version that an address means now.

        Args:
            address: `models:/name@alias` or `models:/name/3`.

        Raises:
            UsageError: the address has another form.
            StoreError: there is no such version, or the server does not answer.
        """
        parts = _ADDRESS.fullmatch(address)
        if parts is None:
            raise UsageError(f'"{address}" names no registered model', hint="write models:/lead-scoring@champion")
        with self._errors(address):
            if parts["alias"]:
                found = self._ask().get_model_version_by_alias(parts["name"], parts["alias"])
            else:
                found = self._ask().get_model_version(parts["name"], parts["version"])
        return RegisteredVersion(parts["name"], str(found.version), found.run_id or "")

    def answers(self) -> bool:
        """Whether the server does what it is asked at all."""
        try:
            with self._errors(self.uri):
                self._ask().search_experiments(max_results=1)
        except StoreError:
            return False
        return True

    def champion(self, name: str) -> str | None:
        """The version of a registered model that carries the alias `champion`; None without one.

        Raises:
            StoreError: the server does not answer.
        """
        with self._errors(self.uri):
            return self._if_there(lambda: str(self._ask().get_model_version_by_alias(name, CHAMPION).version))

    def baseline(self, version: RegisteredVersion) -> Reference | None:
        """The baseline that the training script logged; None where it logged none.

        Raises:
            StoreError: the server does not answer, or the file is damaged.
        """
        if not version.run_id:
            return None
        folder = BASELINE_FILE.rpartition("/")[0]
        with self._errors(self.uri), tempfile.TemporaryDirectory() as scratch:
            if BASELINE_FILE not in {file.path for file in self._ask().list_artifacts(version.run_id, folder)}:
                return None
            content = Path(self._ask().download_artifacts(version.run_id, BASELINE_FILE, scratch)).read_bytes()
        return decode_baseline(content)

    def training_data(self, version: RegisteredVersion) -> str | None:
        """Where the data lies that the training run named with `log_input`; None where it named none.

        Raises:
            StoreError: the server does not answer.
        """
        with self._errors(self.uri):
            inputs = self._ask().get_run(version.run_id).inputs.dataset_inputs if version.run_id else ()
        for one in inputs:
            told = json.loads(one.dataset.source or "{}")
            place = told.get("path") or told.get("uri")
            if place:
                at = told.get("delta_table_version")
                return f"{place.removeprefix('file://')}@{at}" if at is not None else str(place).removeprefix("file://")
        return None

    def tag_version(self, name: str, version: str, tags: Mapping[str, str]) -> bool:
        """Tag a registered version; False where there is none of that name and number.

        Raises:
            StoreError: the server does not answer.
        """

        def tagged() -> bool:
            for key, value in tags.items():
                self._ask().set_model_version_tag(name, version, key, value)
            return True

        with self._errors(self.uri):
            return bool(self._if_there(tagged))

    def find_runs(self, experiment: str, identity: Mapping[str, str]) -> list[Any]:
        """Runs that were started under this identity, the newest first.

        There may be several: a request whose answer was lost is sent again by the library, and the server did it twice.

        Args:
            experiment: that holds them.
            identity: tags as given to `start_run`, whatever they hold.

        Raises:
            StoreError: the server does not answer.
        """
        key = run_key(identity)
        with self._errors(self.uri):
            found = self._search(experiment, {RUN_KEY: key})
            if not found:
                found = self._earlier(experiment, identity)
                for run in found:
                    self._ask().set_tag(run.info.run_id, RUN_KEY, key)
        return found

    def start_run(
        self,
        experiment: str,
        name: str,
        identity: Mapping[str, str],
        start_ms: int,
        *,
        tags: Mapping[str, str] = _NO_TAGS,
    ) -> str:
        """A new run; its id.

        Args:
            experiment: that holds it.
            name: for people.
            identity: tags that it is found by.
            start_ms: milliseconds since 1970.
            tags: further ones.

        Raises:
            StoreError: the server does not answer.
        """
        told = {key: tag_value(value) for key, value in {**identity, **tags}.items()}
        told[RUN_KEY] = run_key(identity)
        with self._errors(self.uri):
            run = self._ask().create_run(
                self._experiment(experiment), start_time=start_ms, tags=told, run_name=run_name(name)
            )
        return str(run.info.run_id)

    def _earlier(self, experiment: str, identity: Mapping[str, str]) -> list[Any]:
        """Runs of releases that gave them no key."""
        in_filter = {key: value for key, value in identity.items() if _PLAIN.fullmatch(value)}
        found = self._search(experiment, in_filter)
        return [run for run in found if RUN_KEY not in run.data.tags and identity.items() <= run.data.tags.items()]

    def _search(self, experiment: str, tags: Mapping[str, str]) -> list[Any]:
        # The filter language has no parameters and no way to escape a quote: only harmless values may stand in it.
        wanted = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
        found: list[Any] = []
        token: str | None = None
        while token is None or token:
            page = self._ask().search_runs([self._experiment(experiment)], wanted, max_results=100, page_token=token)
            found += page
            token = page.token or ""
        return found

    def log(
        self, run_id: str, numbers: Mapping[str, float | None], *, step: int, at_ms: int, tags: Mapping[str, str]
    ) -> None:
        """Numbers of one moment, in as few requests as the server takes; the tags come with the last one.

        Raises:
            StoreError: the server does not answer.
        """
        from mlflow.entities import Metric, RunTag

        metrics = [Metric(name, value, at_ms, step) for name, value in clean_names(numbers).items()]
        told = [RunTag(key, tag_value(value)) for key, value in tags.items()]
        parts = batches(metrics, beside=len(told))
        with self._errors(self.uri):
            for part in parts[:-1]:
                if not self._is_there(run_id, part[0]):
                    self._ask().log_batch(run_id, part, synchronous=True)
            self._ask().log_batch(run_id, parts[-1], tags=told, synchronous=True)

    def _is_there(self, run_id: str, metric: Any) -> bool:  # noqa: ANN401 - an mlflow Metric
        # A try that was cut off between two batches may have brought this one: the server would keep both points.
        # By its moment: an older release gave days east of Greenwich the step of the day before.
        return any(point.timestamp == metric.timestamp for point in self._ask().get_metric_history(run_id, metric.key))

    def upload(self, run_id: str, files: Mapping[str, bytes]) -> None:
        """Files of a run by their path.

        Raises:
            StoreError: the server does not answer.
        """
        with self._errors(self.uri), tempfile.TemporaryDirectory() as scratch:
            for path, content in files.items():
                place = Path(scratch, path)
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(content)
            self._ask().log_artifacts(run_id, scratch)

    def name_data(self, run_id: str, datasets: Mapping[str, RunData]) -> None:
        """Say which data a run is about, as MLflow's column "Dataset" shows it.

        Args:
            run_id: of the run.
            datasets: by what they are for, such as `baseline`.

        Raises:
            StoreError: the server does not answer.
        """
        from mlflow.entities import Dataset, DatasetInput, InputTag

        inputs = [
            DatasetInput(
                Dataset(data_name(data.name), data.digest, "tiltmeter", json.dumps(dict(data.source)), None,
                        json.dumps({"num_rows": data.rows})),
                [InputTag("mlflow.data.context", purpose)],
            )
            for purpose, data in datasets.items()
        ]  # fmt: skip
        with self._errors(self.uri):
            self._ask().log_inputs(run_id, inputs)

    def describe(self, experiment: str, text: str) -> None:
        """The note that stands above the runs of an experiment.

        Raises:
            StoreError: the server does not answer.
        """
        with self._errors(self.uri):
            self._ask().set_experiment_tag(self._experiment(experiment), "mlflow.note.content", text)

    def end_run(self, run_id: str, end_ms: int) -> None:
        """Mark a run as finished.

        Raises:
            StoreError: the server does not answer.
        """
        with self._errors(self.uri):
            self._ask().set_terminated(run_id, "FINISHED", end_ms)

    def delete_run(self, run_id: str) -> None:
        """Remove a run that was not finished.

        Raises:
            StoreError: the server does not answer.
        """
        with self._errors(self.uri):
            self._ask().delete_run(run_id)

    def _experiment(self, name: str) -> str:
        if name not in self._experiments:
            called = experiment_name(name)
            found = self._ask().get_experiment_by_name(called)
            self._experiments[name] = found.experiment_id if found else self._ask().create_experiment(called)
        return self._experiments[name]

    def _ask(self) -> Any:  # noqa: ANN401 - an MlflowClient
        if self._client is None:
            for name, value in CALL_LIMITS.items():
                os.environ.setdefault(name, value)
            try:
                from mlflow import MlflowClient
            except ImportError as error:
                raise ConfigError("MLflow needs its client", hint='pip install "tiltmeter[mlflow]"') from error
            self._client = MlflowClient(self.uri, self.uri)
        return self._client

    def _if_there(self, ask: Callable[[], T]) -> T | None:
        """What the registry knows; None where it has no such model, version or alias."""
        from mlflow.exceptions import MlflowException

        try:
            return ask()
        except MlflowException as error:  # the client itself refuses a name with a slash
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise

    @contextmanager
    def _errors(self, at: str) -> Iterator[None]:
        try:
            with in_our_words(at):
                yield
        except StoreError:
            self._experiments.clear()  # one may have been deleted and made anew
            raise


def model_name(address: str) -> str:
    """Name of the registered model that an address means."""
    return address.removeprefix("models:/").partition("@")[0].partition("/")[0]


def reference_of(tracking: Tracking, version: RegisteredVersion, fitted: Callable[[str], Reference]) -> Reference:
    """The baseline of a registered version: logged in training, else fitted to the data set that training named.

    Args:
        tracking: the server.
        version: whose baseline.
        fitted: fits a data set by its place.

    Raises:
        StoreError: the version has neither, or the server does not answer.
    """
    found = tracking.baseline(version)
    if found is not None:
        return found
    place = tracking.training_data(version)
    if place is None:
        raise StoreError(
            f"version {version.version} of {version.name} brings no baseline",
            at=tracking.uri,
            hint="call tiltmeter.log_baseline(frame, score=…) in the training run, or log_input the training data",
        )
    return fitted(place)
