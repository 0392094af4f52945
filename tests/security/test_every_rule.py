"""The security rules of the project, and the tests that hold each."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent

RULES: dict[str, tuple[str, tuple[str, ...]]] = {
    "K1": (
        "no redirect is followed",
        (
            "security/test_redirects.py::TestRedirects::test_none_is_followed",
            "security/test_redirects.py::TestRedirects::test_bulk",
            "test_transport.py::TestOnTheWire::test_redirects_are_not_followed",
            "test_settings.py::TestSession::test_redirects_are_not_followed_there_either",
        ),
    ),
    "K2": (
        "https, or http to loopback",
        ("security/test_connection.py::test_where_a_token_may_travel", "test_client.py::TestSettings::test_loopback"),
    ),
    "K3": (
        "addresses in answers are data",
        (
            "security/test_redirects.py::TestLinksInAnswers::test_are_never_fetched",
            "security/test_redirects.py::TestLinksInAnswers::test_an_error_with_links",
            "security/test_redirects.py::test_the_host_is_the_one_that_was_configured",
        ),
    ),
    "K4": (
        "an id stays one segment of its path",
        (
            "security/test_paths.py::test_a_value_stays_in_its_place",
            "security/test_paths.py::test_no_parameter_is_forgotten",
            "security/test_paths.py::test_no_room_is_forgotten",
            "test_wire.py::TestSegment::test_a_value_never_leaves_its_segment",
        ),
    ),
    "K5": (
        "a token is visible ASCII",
        (
            "security/test_secrets.py::TestTokens::test_what_is_no_token",
            "security/test_secrets.py::TestTokens::test_empty",
            "test_auth.py::TestStaticToken::test_hidden_characters",
        ),
    ),
    "K6": (
        "secrets do not show themselves",
        (
            "security/test_secrets.py::TestSecretType::test_nothing_shows_it",
            "security/test_secrets.py::TestSecretType::test_public_objects_are_not_pickled_with_it",
            "security/test_secrets.py::TestSecretType::test_reprs_of_everything_a_client_holds",
            "security/test_secrets.py::TestErrors::test_cancelled",
            "security/test_secrets.py::TestErrors::test_a_bug_on_the_way",
            "security/test_secrets.py::test_a_client_that_is_thrown_away_tells_nothing",
        ),
    ),
    "K7": (
        "no error carries aiohttp's, or the token",
        (
            "security/test_secrets.py::TestErrors::test_broken_answers",
            "security/test_secrets.py::TestErrors::test_statuses",
            "security/test_secrets.py::TestErrors::test_tls",
            "security/test_secrets.py::TestLogs::test_an_echo_of_the_request",
            "security/test_failing_run.py::test_no_secret_shows_in_anything_that_a_failing_run_tells",
            "test_transport.py::TestShape::test_an_error_that_holds_the_token",
        ),
    ),
    "K8": (
        "bodies are not logged",
        (
            "security/test_secrets.py::TestLogs::test_a_days_work_logs_no_values",
            "security/test_secrets.py::TestLogs::test_an_unreadable_answer_is_not_quoted",
        ),
    ),
    "K9": (
        "an answer's size is bounded after decompression",
        (
            "security/test_bodies.py::test_memory_is_bounded",
            "test_transport.py::TestBodies::test_the_cap_to_the_byte",
        ),
    ),
    "K10": (
        "every attempt has a total time limit",
        (
            "faults/test_transport_rows.py::test_no_whole_answer",
            "test_transport.py::TestLostAnswers::test_drip",
            "test_transport.py::TestTimeouts::test_none",
        ),
    ),
    "K11": (
        "a user's headers neither end their line nor replace the library's",
        (
            "security/test_connection.py::TestHeaders::test_what_belongs_to_the_library",
            "security/test_connection.py::TestHeaders::test_what_breaks_out_of_its_line",
            "security/test_connection.py::TestHeaders::test_exactly_these_go_out",
        ),
    ),
    "K12": (
        "nothing comes from the environment unasked",
        (
            "security/test_connection.py::TestEnvironment::test_nothing_is_read_from_it",
            "test_settings.py::TestProxy::test_netrc_is_never_read",
        ),
    ),
    "K13": ("no cookies", ("security/test_connection.py::TestEnvironment::test_no_cookie_comes_back",)),
    "K14": (
        "TLS 1.2 or newer, certificates and host checked",
        (
            "security/test_connection.py::TestTls::test_bad_certificates",
            "security/test_connection.py::TestTls::test_old_tls",
            "security/test_connection.py::TestTls::test_plain_text_on_the_tls_port",
            "security/test_connection.py::TestTls::test_checking_can_not_be_switched_off",
            "test_transport.py::TestTls::test_the_default_context_checks",
            "test_settings.py::TestSession::test_one_that_checks_no_certificates",
        ),
    ),
    "K15": (
        "dependencies without known holes",
        ("security/test_package.py::test_dependencies_are_safe_to_face_a_server",),
    ),
    "K16": (
        "whatever a body is, only our errors come out",
        (
            "security/test_bodies.py::test_fuzzed_bodies",
            "security/test_bodies.py::test_100_000_fuzzed_bodies",
            "security/test_bodies.py::test_nasty_bodies",
            "security/test_bodies.py::test_the_last_of_duplicate_keys_counts",
            "security/test_bodies.py::test_every_decoder_of_the_library_is_tried",
        ),
    ),
    "K18": (
        "nothing dangerous is used, no check is an assert",
        (
            "security/test_package.py::test_nothing_dangerous_is_used",
            "security/test_package.py::test_ruffs_security_rules_are_on",
            "security/test_package.py::test_checks_hold_without_asserts",
        ),
    ),
    "K19": (
        "OAuth: one refresh, stored before use, in no error",
        (
            "security/test_secrets.py::TestOAuth::test_the_token_endpoint_fails",
            "security/test_secrets.py::TestOAuth::test_on_refresh_raises",
            "test_oauth.py::TestOneRefresh::test_a_thousand_tasks_on_an_expired_token",
            "test_oauth.py::TestRotation::test_what_is_not_stored_is_not_used",
            "test_oauth.py::TestRotation::test_the_callback_comes_before_the_first_use",
        ),
    ),
    "K20": (
        "a webhook's signature: constant time, five minutes, raw body",
        (
            "integrations/test_webhooks.py::TestSignature::test_a_known_vector",
            "integrations/test_webhooks.py::TestSignature::test_tampering",
            "integrations/test_webhooks.py::TestSignature::test_five_minutes_by_the_wall_clock",
            "integrations/test_webhooks.py::TestSignature::test_the_timestamp_is_signed_too",
            "integrations/test_webhooks.py::TestSignature::test_the_raw_body_counts",
            "integrations/test_webhooks.py::TestSignature::test_the_comparison_takes_the_same_time",
            "integrations/test_webhooks.py::TestSignature::test_a_client_secret_that_can_not_be_one",
            "integrations/test_webhooks.py::TestSignature::test_refusals_tell_no_secret",
            "integrations/test_fastapi.py::TestWebhooks::test_what_is_not_hubspots",
        ),
    ),
    "K21": (
        "a server's words forge no lines",
        ("security/test_bodies.py::test_forged_lines", "security/test_bodies.py::test_over_sockets"),
    ),
    "K22": (
        "a server's words are cut, ids looked at",
        (
            "security/test_bodies.py::test_a_megabyte_of_words",
            "security/test_bodies.py::test_a_correlation_id_looks_like_one",
        ),
    ),
    "K23": (
        "SSLKEYLOGFILE is mentioned",
        ("security/test_package.py::test_keys_in_the_environment_are_mentioned",),
    ),
    "K24": (
        "no network at import",
        (
            "security/test_package.py::test_import_touches_neither_network_nor_disk",
            "security/test_package.py::test_the_audit_hook_sees_sockets",
        ),
    ),
}

ELSEWHERE = {
    "K15": "an audit of published advisories needs the network: it belongs to CI, as does the lowest version's run",
    "K17": "the journal's file: its mode, symbolic links and contents are tested with the journal, in tests/bulk",
    "K24": "attestations, pinned build tools and the SBOM belong to the release, which is made outside of the tests",
}
"""Rules, or parts of them, that no test of this folder can hold, and why."""


@cache
def names_in(file: str) -> frozenset[str]:
    """`Class::test` and `test` of a file."""
    found = set()
    for node in ast.parse((TESTS / file).read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{part.name}" for part in node.body if hasattr(part, "name")}
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            found.add(node.name)
    return frozenset(found)


def test_every_rule_is_here() -> None:
    """K1 to K24: each has a test, or a reason."""
    assert set(RULES) | set(ELSEWHERE) == {f"K{number}" for number in range(1, 25)}


@pytest.mark.parametrize("rule", RULES)
def test_its_tests_exist(rule: str) -> None:
    """A test that is renamed or dropped takes no rule with it in silence."""
    assert [name for name in RULES[rule][1] if name.split("::", 1)[1] not in names_in(name.split("::", 1)[0])] == []
