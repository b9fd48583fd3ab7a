"""A file system whose server takes every request and answers none but the first: who touches it waits where no signal reaches."""
import ctypes
import os
import pathlib
import select
import struct
import subprocess
import tempfile

from stack import run

LIBC = ctypes.CDLL(None, use_errno=True)
INIT = 26


class HungFiles:
    def __enter__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="ocu-hung-", dir="/var/tmp"))
        self.server = os.open("/dev/fuse", os.O_RDWR)
        options = f"fd={self.server},rootmode=40000,user_id=0,group_id=0"
        if LIBC.mount(b"hung", str(self.dir).encode(), b"fuse.hung", 0, options.encode()) < 0:
            raise OSError(ctypes.get_errno(), "mount")
        self.stuck = []
        _, opcode, unique, *_ = self.take()
        assert opcode == INIT
        reply = struct.pack("<IIIIHHIIHHI28x", 7, 31, 65536, 0, 12, 9, 65536, 1, 0, 0, 0)
        os.write(self.server, struct.pack("<IiQ", 16 + len(reply), 0, unique) + reply)
        return self

    def take(self):
        """The head of the next request."""
        assert select.select([self.server], [], [], 30)[0], "nobody asks"
        return struct.unpack_from("<IIQQ", os.read(self.server, 1 << 20))

    def stick(self):
        """A process that cannot be killed before release()."""
        p = subprocess.Popen(["/usr/bin/stat", self.dir], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.stuck.append(p)
        # What it asks for is in the server's hands, and is waited for whatever happens.
        self.take()
        return p.pid

    def release(self):
        if self.server >= 0:
            os.close(self.server)
        self.server = -1
        for p in self.stuck:
            p.wait(30)

    def __exit__(self, *exc):
        self.release()
        run(["umount", "-l", self.dir])
        self.dir.rmdir()
