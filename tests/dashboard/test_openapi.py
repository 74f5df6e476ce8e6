"""The JSON interface against its own description, with requests made up from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from fastapi.routing import APIRoute
from hypothesis import given, settings
from schemathesis import Case, GenerationMode, openapi
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import positive_data_acceptance

from dashboard.app import create_app
from dashboard.collector import Collector
from dashboard.config import Config
from dashboard.own_metrics import OwnMetrics
from dashboard.routes import router

if TYPE_CHECKING:
    from conftest import Scraped

START = 1_700_000_000
ENDLESS = "/api/live"
OPERATIONS = [
    route
    for route in router.routes
    if isinstance(route, APIRoute) and route.include_in_schema and route.path != ENDLESS
]


@pytest.fixture
def schema(filled: Scraped) -> Iterator[BaseSchema]:
    config = replace(Config(), allowed_hosts=("testserver",))
    source = filled.source(START + 100.0)
    beat = Collector(config, filled.store, metrics=OwnMetrics())
    yield openapi.from_asgi(
        "/openapi.json", create_app(config, source, beat, clock=lambda: START + 100.0)
    )
    source.close()


def ask_for(schema: BaseSchema, route: APIRoute, mode: GenerationMode) -> None:
    (method,) = route.methods

    @settings(max_examples=15, deadline=None, derandomize=True, database=None)
    @given(case=schema[route.path][method].as_strategy(generation_mode=mode))
    def ask(case: Case) -> None:
        # That an end has to be after its start cannot be described, so it may be refused.
        case.call_and_validate(excluded_checks=[positive_data_acceptance])

    ask()


def test_whatever_is_asked_the_answer_is_as_described(schema: BaseSchema) -> None:
    for route in OPERATIONS:
        ask_for(schema, route, GenerationMode.POSITIVE)


def test_a_request_that_is_not_as_described_is_refused_as_described(schema: BaseSchema) -> None:
    # A path is a text, and every text is as described.
    told = [one for one in OPERATIONS if one.dependant.query_params or one.dependant.body_params]
    assert len(told) > 5
    for route in told:
        ask_for(schema, route, GenerationMode.NEGATIVE)
