"""A connection to a Ray cluster: its resources, and the workers that are hired there.

Ray is imported when a connection is made, and not before.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Any, Final

from fedscale import limits
from fedscale.errors import MissingExtraError, RunError, WorkerError

DEVICES: Final[Mapping[str, str]] = {"cuda": "GPU"}
"""The resource of Ray that workers take a share of beside a CPU, by the device that they compute on."""


LOCAL: Final = "local"
"""The address by which Ray is started on this machine."""


class RayCluster:
    """Connects to a cluster, or starts Ray on this machine, which then ends with the connection.

    If this process is connected to Ray already, that connection is used, and left as it is.

    Args:
        address: ``auto``, ``host:port`` or ``ray://host:port``; ``None`` for ``$RAY_ADDRESS``, else this machine.
        workers: that were asked for.
        device: that they compute on.
        gpu_share: of a GPU that a worker takes if ``device`` is ``cuda``.

    Raises:
        MissingExtraError: Ray is not installed.
        WorkerError: no connection can be made.
        RunError: the cluster has not what is asked for.
    """

    def __init__(self, address: str | None, workers: int | None, device: str, gpu_share: float) -> None:
        self.ray = _ray()
        exceptions = self.ray.exceptions
        self.lost = exceptions.ObjectLostError
        self.mistakes = exceptions.RayTaskError
        self.errors = (exceptions.RayError, RuntimeError)
        self._asked = workers
        self._extra = DEVICES.get(device)
        self._share = gpu_share
        self._ours = not self.ray.is_initialized()
        if self._ours:
            self._connect(address or os.environ.get("RAY_ADDRESS") or LOCAL)
        if self.capacity() == 0:
            offered = self.ray.cluster_resources()
            self.close()
            raise RunError(
                f"the Ray cluster offers {offered.get('CPU', 0):g} CPUs and {offered.get('GPU', 0):g} GPUs, and a "
                f"worker takes 1 CPU{f' and {gpu_share:g} GPU' if self._extra else ''}: add nodes, or change `device`"
            )

    def capacity(self) -> int:
        """Return how many workers the cluster as it is now is meant to have: those asked for, else one per share."""
        if self._asked is not None:
            return self._asked
        offered = self.ray.cluster_resources()
        cpus = int(offered.get("CPU", 0))
        return cpus if self._extra is None else min(cpus, int(offered.get(self._extra, 0) / self._share))

    def memory(self) -> int:
        """Return the bytes that the nodes have set apart for objects."""
        return int(self.ray.cluster_resources().get("object_store_memory", 0))

    def hire(self) -> Any:
        """Ask for another worker; Ray starts it when and where there is room."""
        from fedscale.execute.actor import Actor

        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        options = {
            "num_cpus": 1,
            "num_gpus": self._share if self._extra else 0,
            "scheduling_strategy": "SPREAD",
            "max_restarts": 0,
            "runtime_env": {"env_vars": threads},
        }
        return self.ray.remote(Actor).options(**options).remote()

    def dismiss(self, actor: Any) -> None:
        """End a worker, if it is not gone yet."""
        self.ray.kill(actor, no_restart=True)

    def item(self, node: str, folder: str) -> int:
        """Ask a node which task or client a worker that died there was at; -1 if it does not tell."""
        from fedscale.execute.remains import read_item

        if not folder:
            return -1
        there = self.ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node, soft=False)
        reading = self.ray.remote(read_item).options(num_cpus=0, max_retries=0, scheduling_strategy=there)
        try:
            return int(self.ray.get(reading.remote(folder), timeout=limits.NODE_SECONDS))
        except self.errors:
            return -1

    def close(self) -> None:
        """End the connection, and Ray itself if it was started here."""
        if self._ours:
            self.ray.shutdown()

    def _connect(self, address: str) -> None:
        here = {"num_cpus": self._asked, "include_dashboard": False} if address == LOCAL else {}
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # or Ray reports to its makers what is started here
        try:
            _knock(address)
            self.ray.init(address, log_to_driver=False, configure_logging=False, **here)
        except Exception as error:  # of every kind, Ray's own and those of the libraries that it uses
            raise WorkerError(
                f"cannot connect to Ray at {address}: {type(error).__name__}: {error}: is it running there "
                "(`ray start --head` starts it), with the same versions of Ray and Python as here?"
            ) from error


def _knock(address: str) -> None:
    """See whether anybody listens at ``host:port``: Ray would wait for minutes, and then end this process."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=limits.CONNECT_SECONDS).close()


def _ray() -> Any:
    try:
        import ray
        import ray.util.scheduling_strategies
    except ImportError:
        raise MissingExtraError("the executor ray", "ray", "ray") from None
    return ray
