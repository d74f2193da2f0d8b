"""Supervision: one asyncio loop, a few lanes per device."""
