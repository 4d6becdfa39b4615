"""Skeleton action recognition with deep independently recurrent networks (IndRNN)."""

__version__ = "0.1.0"
