"""The coordinator: pure state machines that decide, with events in and commands out.

Imports the standard library, numpy and FedScale's root files only: no torch, no sockets, no clock, no files. The
simulator feeds it virtual time, a server feeds it wall time; both get the same decisions. A test holds this.
"""
