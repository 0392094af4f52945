"""HubSpot's meetings object: single calls, lists, batches, and how one is looked for."""
