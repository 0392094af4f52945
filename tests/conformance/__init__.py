"""The emulator judged by clients that we did not write: if they see HubSpot, it is HubSpot enough."""
