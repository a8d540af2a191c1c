"""A Jupyter kernel provisioner whose kernels run inside walls.

jupyter_client knows it as `coursekit-walled`: name it in a kernelspec's metadata, or in the
environment variable JUPYTER_DEFAULT_PROVISIONER_NAME.
"""

import asyncio
import os
import signal

from jupyter_client.provisioning import KernelProvisionerBase
from traitlets import Bool, Dict

from coursekit.grading.exam import zygote

# Seconds between two looks at whether a kernel has ended, and until a polite shutdown is over.
LOOK, POLITE = 0.02, 2.0
# Of the environment that a kernel is launched with, what it is given.
PASSED = ("COURSEKIT_SIZE",)


class WalledProvisioner(KernelProvisionerBase):
    """Starts kernels by the zygote named in $COURSEKIT_ZYGOTE, else by this process's own.

    `start_kernel(walled={"files": …, "limits": …, "environment": …})` says what one kernel gets, see
    zygote.fork_kernel; the traits of these names are what it gets without that.  The kernelspec's
    command, the working folder and the caller's environment mean nothing to a walled kernel.
    `.report`: None while the kernel runs, then how it ended.  Raises CourseError where no walls can
    be built.
    """

    trust = Bool(False, help="no walls, only limits").tag(config=True)
    files = Dict(help="relative path: content as base64").tag(config=True)
    limits = Dict(help="see coursekit.grading.exam.limits.Limits").tag(config=True)
    environment = Dict(help="variables of the kernel").tag(config=True)
    kernel, report = None, None

    @property
    def has_process(self):
        """Whether there is a kernel, or one that nobody has waited for."""
        return self.kernel is not None

    async def pre_launch(self, **kwargs):
        """Leaves out what a command line would need."""
        kwargs.pop("extra_arguments", None)
        return await super().pre_launch(cmd=[], **kwargs)

    async def launch_kernel(self, cmd, walled=None, **kwargs):
        """Forks a kernel; returns how to connect to it."""
        known = kwargs.get("env", os.environ)
        passed = {name: known[name] for name in PASSED if name in known}
        told = {"files": self.files, "limits": self.limits, "environment": self.environment}
        told |= walled or {}
        told["environment"] = passed | told["environment"]
        self.report = None
        self.kernel = await asyncio.to_thread(self._fork, told)
        key = self.kernel.connection["key"].encode()
        self.connection_info = self.kernel.connection | {"key": key}
        return self.connection_info

    def _fork(self, told):
        address = zygote.running()
        if address:
            return zygote.fork_kernel(address, **told)
        return zygote.shared(self.trust).kernel(**told)

    async def poll(self):
        """None while the kernel runs, else its exit code; the negative number of a signal."""
        if self.kernel is not None:
            self.report = self.kernel.poll()
        if self.report is None:
            return None if self.kernel is not None else 0
        code, number = self.report["code"], self.report["signal"]
        return code if code is not None else -(number or signal.SIGKILL)

    async def wait(self):
        """Waits until the kernel has ended; returns what `poll` tells then."""
        while (code := await self.poll()) is None:
            await asyncio.sleep(LOOK)
        self._let_go()
        return code

    async def send_signal(self, signum):
        """Sends the kernel a signal; SIGINT interrupts a cell."""
        if self.kernel is not None and signum:
            self.kernel.signal(signum)

    async def kill(self, restart=False):
        """Ends the kernel and all that it started."""
        await self._end(signal.SIGKILL)

    async def terminate(self, restart=False):
        """The same: nothing of a walled kernel is worth a farewell."""
        await self._end(signal.SIGKILL)

    async def _end(self, signum):
        await self.send_signal(signum)
        if self.kernel is not None:
            await asyncio.to_thread(self.kernel.wait, zygote.PROMPT)

    async def cleanup(self, restart=False):
        """Ends a kernel that still runs."""
        await self._end(signal.SIGKILL)
        await self.poll()
        self._let_go()

    def _let_go(self):
        if self.kernel is not None:
            self.kernel.close()
        self.kernel = None

    def get_shutdown_wait_time(self, recommended=5.0):
        """Seconds for a polite shutdown."""
        return min(recommended, POLITE)
