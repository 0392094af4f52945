// HubSpot's own Node client, @hubspot/api-client, through its own public API.
// HUBSPOT_URL names a running emulator with a limit of 190; every test starts on an empty account.
"use strict";

const assert = require("node:assert/strict");
const { beforeEach, describe, test } = require("node:test");
const { Client } = require("@hubspot/api-client");

const url = process.env.HUBSPOT_URL;
if (!url) throw new Error("HUBSPOT_URL names no emulator; run `make conformance`");

const TITLE = { hs_meeting_title: "Review", hs_timestamp: "2026-11-24T09:00:00Z" };
const TO_CONTACT = { associationCategory: "HUBSPOT_DEFINED", associationTypeId: 200 };
const LINKS = "/scheduler/v3/meetings/meeting-links";

const clientOf = (options = {}) => new Client({ accessToken: "token", basePath: url, ...options });
const client = clientOf();
const meetings = client.crm.objects.meetings;

async function admin(path, body) {
  const response = await fetch(`${url}/__emulator/${path}`, { method: "POST", body: JSON.stringify(body ?? {}) });
  assert.equal(response.status, 200, await response.text());
}

const strike = (...rules) => admin("faults", { rules });
const fault = (status, operation = "*", words = {}) => ({ operation, fault: { kind: "status", status, ...words } });

async function requests() {
  const response = await fetch(`${url}/__emulator/requests`);
  return (await response.json()).requests;
}

async function create(properties = {}) {
  return (await meetings.basicApi.create({ properties: { ...TITLE, ...properties }, associations: [] })).id;
}

async function refused(call) {
  const error = await call().then(
    () => assert.fail("HubSpot would have refused this"),
    (reason) => reason,
  );
  assert.equal(error.constructor.name, "ApiException", String(error));
  return error;
}

beforeEach(async () => {
  await admin("reset");
  await admin("properties", { name: "booking_ref", unique: true });
});

test("one record is created, read, changed and archived", async () => {
  const associations = [{ to: { id: "101" }, types: [TO_CONTACT] }];
  const made = await meetings.basicApi.create({ properties: { ...TITLE, booking_ref: "A" }, associations });
  assert.ok(made.createdAt instanceof Date);
  assert.equal(made.archived, false);
  const changed = await meetings.basicApi.update("A", { properties: { hs_meeting_title: "Retro" } }, "booking_ref");
  assert.equal(changed.id, made.id);
  const names = ["hs_meeting_title", "hs_meeting_location"];
  const read = await meetings.basicApi.getById(made.id, names, ["hs_meeting_title"], ["contacts"]);
  assert.equal(read.properties.hs_meeting_title, "Retro");
  assert.equal(read.properties.hs_meeting_location, null);
  assert.deepEqual(
    read.propertiesWithHistory.hs_meeting_title.map((version) => version.value),
    ["Retro", "Review"],
  );
  assert.deepEqual(
    read.associations.contacts.results.map((end) => [end.id, end.type]),
    [["101", "meeting_event_to_contact"]],
  );
  await meetings.basicApi.archive(made.id);
  assert.equal((await refused(() => meetings.basicApi.getById(made.id))).code, 404);
  const archived = await meetings.basicApi.getById(made.id, undefined, undefined, undefined, true);
  assert.ok(archived.archivedAt instanceof Date);
});

test("pages follow each other, and getAll fetches every record once", async () => {
  for (let batch = 0; batch < 3; batch++) {
    const inputs = Array.from({ length: 70 }, () => ({ properties: TITLE, associations: [] }));
    await meetings.batchApi.create({ inputs });
  }
  const page = await client.crm.objects.basicApi.getPage("meetings", 2);
  assert.equal(page.results.length, 2);
  assert.ok(page.paging.next.after);
  const all = await client.crm.contacts.getAll();
  assert.deepEqual(all, []);
  const found = [];
  let after;
  do {
    const next = await meetings.basicApi.getPage(100, after);
    found.push(...next.results);
    after = next.paging?.next?.after;
  } while (after);
  assert.equal(found.length, 210);
  assert.equal(new Set(found.map((record) => record.id)).size, 210);
});

test("all five batches", async () => {
  const batch = meetings.batchApi;
  const inputs = [0, 1, 2].map((n) => ({ properties: { ...TITLE, booking_ref: String(n) }, associations: [] }));
  const made = await batch.create({ inputs });
  assert.equal(made.status, "COMPLETE");
  const ids = made.results.map((record) => record.id);
  const changes = ids.map((id) => ({ id, properties: { hs_meeting_title: "new" } }));
  const updated = await batch.update({ inputs: changes });
  assert.deepEqual(new Set(updated.results.map((record) => record.id)), new Set(ids));
  const upserts = ["2", "3"].map((id) => ({ idProperty: "booking_ref", id, properties: TITLE }));
  const upserted = await batch.upsert({ inputs: upserts });
  assert.deepEqual(
    Object.fromEntries(upserted.results.map((record) => [record.properties.booking_ref, record._new])),
    { 2: false, 3: true },
  );
  const read = await batch.read({
    inputs: [{ id: "0" }, { id: "3" }],
    idProperty: "booking_ref",
    properties: ["booking_ref"],
    propertiesWithHistory: [],
  });
  assert.deepEqual(read.results.map((record) => record.properties.booking_ref).sort(), ["0", "3"]);
  await batch.archive({ inputs: ids.map((id) => ({ id })) });
  assert.equal((await meetings.basicApi.getPage()).results.length, 1);
});

test("a multi-status answer comes with its errors", async () => {
  const inputs = [
    { properties: TITLE, associations: [], objectWriteTraceId: "1" },
    { properties: { nope: "x" }, associations: [], objectWriteTraceId: "2" },
  ];
  const answer = await meetings.batchApi.create({ inputs });
  assert.equal(answer.results.length, 1);
  assert.equal(answer.numErrors, 1);
  assert.deepEqual(answer.errors[0].context, { objectWriteTraceId: ["2"] });
});

test("searches filter, sort and page", async () => {
  const ids = [];
  for (const outcome of ["SCHEDULED", "NO_SHOW", "SCHEDULED"]) ids.push(await create({ hs_meeting_outcome: outcome }));
  await admin("settle-search");
  const request = {
    filterGroups: [{ filters: [{ propertyName: "hs_meeting_outcome", operator: "EQ", value: "SCHEDULED" }] }],
    sorts: ["hs_object_id"],
    properties: ["hs_meeting_outcome"],
    limit: 1,
  };
  const first = await meetings.searchApi.doSearch(request);
  assert.deepEqual([first.total, first.results[0].id], [2, ids[0]]);
  const second = await meetings.searchApi.doSearch({ ...request, after: first.paging.next.after });
  assert.deepEqual([second.results[0].id, second.paging], [ids[2], undefined]);
});

test("associations of v4, one by one and in batches", async () => {
  const [one, two] = [await create(), await create()];
  const { basicApi, batchApi } = client.crm.associations.v4;
  const tied = await basicApi.createDefault("meetings", one, "contacts", "101");
  assert.deepEqual(tied.results.map((tie) => tie.associationSpec.associationTypeId).sort(), [199, 200]);
  const labelled = await basicApi.create("meetings", one, "contacts", "102", [TO_CONTACT]);
  assert.equal(labelled.fromObjectTypeId, "0-47");
  const page = await basicApi.getPage("meetings", one, "contacts");
  assert.deepEqual(page.results.map((end) => String(end.toObjectId)), ["101", "102"]);
  await basicApi.archive("meetings", one, "contacts", "102");

  const ties = [{ _from: { id: one }, to: { id: "103" }, types: [TO_CONTACT] }];
  await batchApi.create("meetings", "contacts", { inputs: ties });
  await batchApi.createDefault("meetings", "contacts", { inputs: [{ _from: { id: one }, to: { id: "104" } }] });
  const read = await batchApi.getPage("meetings", "contacts", { inputs: [{ id: one }, { id: two }] });
  assert.deepEqual(read.results.map((result) => [result._from.id, result.to.length]), [[one, 3]]);
  assert.equal(read.errors[0].subCategory, "crm.associations.NO_ASSOCIATIONS_FOUND");
  await batchApi.archiveLabels("meetings", "contacts", { inputs: ties });
  await batchApi.archive("meetings", "contacts", { inputs: [{ _from: { id: one }, to: [{ id: "104" }] }] });
  assert.equal((await basicApi.getPage("meetings", one, "contacts")).results.length, 1);
});

test("property definitions are listed and created", async () => {
  const api = client.crm.properties.coreApi;
  const made = await api.create("meetings", {
    name: "ticket_no",
    label: "Ticket",
    type: "string",
    fieldType: "text",
    groupName: "meetinginformation",
    hasUniqueValue: true,
  });
  assert.equal(made.hasUniqueValue, true);
  const names = (await api.getAll("meetings")).results.map((known) => known.name);
  assert.ok(names.includes("ticket_no") && names.includes("hs_meeting_title"));
});

test("a slot is found and booked once", async () => {
  const get = async (path, qs) => (await client.apiRequest({ path, qs })).json();
  const link = (await get(LINKS)).results[0];
  const slug = encodeURIComponent(link.slug);
  const page = await get(`${LINKS}/book/availability-page/${slug}`, { timezone: "Europe/Berlin", monthOffset: 1 });
  const [duration, offered] = Object.entries(page.linkAvailability.linkAvailabilityByDuration)[0];
  const body = {
    slug: link.slug,
    firstName: "Grace",
    lastName: "Hopper",
    email: "grace@example.com",
    startTime: offered.availabilities[0].startMillisUtc,
    duration: Number(duration),
    formFields: [],
    legalConsentResponses: [],
    likelyAvailableUserIds: [],
  };
  const book = () => client.apiRequest({ method: "POST", path: `${LINKS}/book`, body });
  const booked = await book();
  assert.equal(booked.status, 200);
  assert.equal((await booked.json()).isOffline, false);
  const again = await book();
  assert.equal(again.status, 400);
  assert.match((await again.json()).subCategory, /MEETING_TIME_NOT_AVAILABLE$/);
});

test("tokens are given, used and taken back", async () => {
  await admin("oauth/apps", { client_id: "app", client_secret: "secret" });
  const back = "https://example.com/back";
  const asked = new URLSearchParams({ client_id: "app", redirect_uri: back, scope: "crm.objects.contacts.read" });
  const page = await fetch(`${url}/oauth/authorize?${asked}`, { redirect: "manual" });
  const code = new URL(page.headers.get("location")).searchParams.get("code");
  const { tokensApi, accessTokensApi, refreshTokensApi } = client.oauth;
  const tokens = await tokensApi.create("authorization_code", code, back, "app", "secret");
  assert.equal(tokens.expiresIn, 1800);
  assert.equal((await accessTokensApi.get(tokens.accessToken)).hubId, 1234567);
  const own = clientOf({ accessToken: tokens.accessToken });
  assert.deepEqual((await own.crm.objects.meetings.basicApi.getPage()).results, []);
  const fresh = await tokensApi.create("refresh_token", undefined, undefined, "app", "secret", tokens.refreshToken);
  assert.equal(fresh.refreshToken, tokens.refreshToken);
  await refreshTokensApi.archive(tokens.refreshToken);
  const error = await refused(() =>
    tokensApi.create("refresh_token", undefined, undefined, "app", "secret", tokens.refreshToken),
  );
  assert.equal(error.code, 400);
});

test("each status is an ApiException with its body and headers", async () => {
  await create({ booking_ref: "taken" });
  await strike(fault(403, "meetings.archive"), fault(503, "meetings.batch_archive"));
  const stranger = new Client({ basePath: url }).crm.objects.meetings;
  for (const [code, category, call] of [
    [400, "VALIDATION_ERROR", () => meetings.basicApi.create({ properties: { nope: "x" }, associations: [] })],
    [401, "INVALID_AUTHENTICATION", () => stranger.basicApi.getPage()],
    [403, "MISSING_SCOPES", () => meetings.basicApi.archive("1")],
    [404, undefined, () => meetings.basicApi.getById("1")],
    [409, "CONFLICT", () => meetings.basicApi.create({ properties: { booking_ref: "taken" }, associations: [] })],
    [503, undefined, () => meetings.batchApi.archive({ inputs: [{ id: "1" }] })],
  ]) {
    const error = await refused(call);
    const body = typeof error.body === "string" ? JSON.parse(error.body) : error.body;
    assert.deepEqual([error.code, body.category], [code, category]);
    assert.equal(error.headers["x-hubspot-correlation-id"], body.correlationId);
    if (code !== 401) assert.equal(error.headers["x-hubspot-ratelimit-max"], "190");
  }
});

describe("retries", () => {
  test("a server error is outlasted", async () => {
    await strike(fault(502), fault(503));
    const patient = clientOf({ numberOfApiCallRetries: 3 });
    await patient.crm.objects.meetings.basicApi.create({ properties: TITLE, associations: [] });
    assert.deepEqual((await requests()).map((entry) => entry.status), [502, 503, 201]);
  });

  test("a full second of searches is outlasted", async () => {
    const patient = clientOf({ numberOfApiCallRetries: 3, limiterOptions: { maxConcurrent: 1 } });
    const search = () => patient.crm.objects.meetings.searchApi.doSearch({ limit: 1 });
    for (let n = 0; n < 6; n++) await search();
    const statuses = (await requests()).map((entry) => entry.status);
    assert.deepEqual(statuses, [200, 200, 200, 200, 200, 429, 200]);
  });

  test("a full window of ten seconds is outlasted", async () => {
    const rush = clientOf({ limiterOptions: { maxConcurrent: 18 } }).crm.objects.meetings.basicApi;
    await Promise.all(Array.from({ length: 190 }, () => rush.getPage(1)));
    const error = await refused(() => rush.getPage(1));
    assert.equal(error.code, 429);
    assert.equal(error.headers["x-hubspot-ratelimit-remaining"], "0");
    const patient = clientOf({ numberOfApiCallRetries: 2 });
    await patient.crm.objects.meetings.basicApi.getPage(1);
    const last = (await requests()).slice(-2).map((entry) => entry.status);
    assert.deepEqual(last, [429, 200]);
  });
});
