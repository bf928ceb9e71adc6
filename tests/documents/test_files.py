"""The files that we ship: valid, complete, and up to date with the models."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from federator.documents import (
    KINDS,
    DocumentErrors,
    json_schema,
    read_configuration,
    read_files,
    read_text,
    to_snapshot,
)
from federator.documents.reference import pages
from federator.model.policy import Bounds

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {"FEDERATOR_DATABASE_PASSWORD": "secret"}
CONFIGURATION = "apiVersion: federator.dev/v1alpha1\nkind: Configuration\nmetadata: {name: a}\nspec: "


def test_the_policies_are_valid_by_themselves() -> None:
    documents = read_files([ROOT / "policies"])
    assert {document.name for document in documents.policies} >= {
        "fill-cern-before-cloud",
        "gpu-goes-to-gpu-cluster",
        "tpu-goes-to-google",
        "spread-a-service",
        "jupyterhub",
    }


def test_the_local_federation_is_valid_and_knows_cerns_preference() -> None:
    configuration = read_configuration(ROOT / "config" / "local.yaml")
    documents = read_files([*configuration.paths(), *configuration.sample_paths])
    assert not documents.warnings
    snapshot = to_snapshot(documents)
    assert [cluster.name for cluster in snapshot.clusters] == ["cern", "exoscale", "gpu"]
    preference = snapshot.policies[0]
    assert (preference.match.workload, preference.replicas) == ("jupyterhub", 9)
    assert preference.bounds == {"cern": Bounds(2, 6, 100), "exoscale": Bounds(0, 3, 20)}
    assert configuration.state_directory == ROOT / "var"
    assert configuration.database_url == f"sqlite:///{ROOT / 'var' / 'federator.db'}"


def test_the_production_example_is_valid_and_every_field_of_it_has_a_comment() -> None:
    configuration = read_configuration(ROOT / "config" / "production.yaml", ENVIRONMENT)
    assert not read_files(configuration.paths()).warnings
    assert configuration.database_url == "postgresql://federator:secret@db.example.org:5432/federator"
    assert configuration.certificate == Path("/etc/federator/tls/tls.crt")


@pytest.mark.parametrize("page", sorted(pages()))
def test_the_reference_is_up_to_date(page: str) -> None:
    """Run `python -m federator.documents.reference` where this fails."""
    assert (ROOT / "docs" / "reference" / page).read_text("utf-8") == pages()[page]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_field_of_every_kind_has_a_meaning_in_the_reference(kind: str) -> None:
    name = next(name for name in pages() if name.removesuffix(".md").replace("-", "") == kind.lower())
    rows = [line for line in pages()[name].splitlines() if line.startswith("| `")]
    assert rows
    assert not [row for row in rows if row.endswith("|  |")]
    assert json_schema(kind)["required"][:2] == ["apiVersion", "kind"]


def test_a_kind_that_does_not_exist_has_no_schema() -> None:
    assert json_schema("workload") == json_schema("Workload")
    with pytest.raises(DocumentErrors, match="did you mean 'Workload'"):
        json_schema("Wrkload")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("{listen: {host: 0.0.0.0}}", "not loopback"),
        ("{listen: {tls: {certificate: a}}}", "spec.listen.tls.key: is missing"),
        ("{listen: {port: 70000}}", "too large"),
        ("{database: 'mysql://x'}", "'mysql' is not a database"),
        ("{database: 'sqlite:///x', databaseFile: y}", "both 'database' and 'databaseFile'"),
        ("{bodyLimit: 5x}", "no known unit"),
        ("{cycle: 0s}", "too small"),
        ("{access: {issuers: [{issuer: a, audience: b}]}}", "the keys of 'a' cannot be looked up there"),
        ("{log: {level: loud}}", "not one of"),
    ],
)
def test_a_slip_in_the_configuration_is_told(spec: str, message: str) -> None:
    with pytest.raises(DocumentErrors, match=message):
        read_text(CONFIGURATION + spec)


def test_paths_start_at_the_file_and_secrets_come_from_the_environment_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "sub" / "f.yaml"
    file.parent.mkdir()
    (tmp_path / "url").write_text("postgresql://u@h/d\n")
    (tmp_path / "q.yaml").write_text("apiVersion: federator.dev/v1alpha1\nkind: Queue\nmetadata: {name: q}\n")
    file.write_text(CONFIGURATION + "{databaseFile: ../url, files: [../*.yaml], stateDirectory: s}")
    configuration = read_configuration(file, {})
    assert configuration.database_url == "postgresql://u@h/d"
    assert configuration.paths() == (tmp_path / "q.yaml",)
    assert configuration.token_file == tmp_path / "sub" / "s" / "admin.token"
    file.write_text(CONFIGURATION + "{files: [none*.yaml]}")
    with pytest.raises(DocumentErrors, match=r"spec.files\[0\]: no file matches 'none\*.yaml'"):
        read_configuration(file, {}).paths()
    file.write_text(CONFIGURATION + "{database: '${NO_SUCH}'}")
    with pytest.raises(DocumentErrors, match="no variable 'NO_SUCH'"):
        read_configuration(file, {})


def test_the_defaults_need_no_file() -> None:
    configuration = read_configuration(None, {})
    assert configuration.paths() == ()
    assert configuration.listen.loopback
    assert (configuration.cycle, configuration.debounce) == (1.0, 0.05)


def test_every_kind_of_the_design_is_read() -> None:
    text = (Path(__file__).parent / "every_kind.yaml").read_text()
    assert {document.kind for document in read_text(text).all} == set(KINDS) | {"Job"}
    for raw in yaml.safe_load_all(text):
        assert raw["kind"]
