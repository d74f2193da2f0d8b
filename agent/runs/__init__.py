"""Tests beside a recording: which ran when, on which phone, with which outcome, and what of it was kept."""
