"""The store of a run: rows are appended and committed; what was committed survives any crash.

An unfinished run of ``FILE`` is a folder ``FILE.run`` (see :mod:`neurolp.storage.segments`). HDF5
builds each part in memory, as it crashes on a full disk; plain writes, fsync and a rename then
make it exist whole or not at all.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from neurolp.arrays import NamedArrays
from neurolp.errors import FormatError, OutputError, RecordingError
from neurolp.storage import segments
from neurolp.storage.atomic import (
    check_writable,
    discard,
    interrupts_ignored,
    publish,
    sync_folder,
    write_whole,
)
from neurolp.storage.checksum import trailer
from neurolp.storage.disk import write_hdf5
from neurolp.storage.growing import Declared, Waiting, check_lengths
from neurolp.storage.layout import UNCOMPRESSED, lay_out
from neurolp.storage.lock import HeldError, Lock
from neurolp.storage.merging import merge
from neurolp.storage.reader import Trajectory
from neurolp.storage.source import FileSource, RunSource
from neurolp.storage.writer import image_of

_OVERHEAD = 200  # bytes of an array beside its values
_IN_MEMORY = 2**26  # bytes of a checkpoint that is put together in memory, where that is quicker


class RunStore:
    """Writer of the record of one run, which becomes one file.

    :meth:`create` begins a new run, :meth:`reopen` continues an interrupted one. :meth:`append`
    rows to declared variables, :meth:`commit` them with a checkpoint now and then, and
    :meth:`finish` writes the file. :meth:`close` keeps what was committed for :meth:`reopen`.

    :meth:`create` is :meth:`claim`, which takes the lock, and :meth:`begin`, which writes the
    header; between them the header can be computed while no other writer can start.
    """

    def __init__(self, path: Path, *, overwrite: bool) -> None:
        """Take the lock of ``path``; see the constructors :meth:`claim` and :meth:`reopen`."""
        self.path, self.folder, self._overwrite = path, segments.folder_of(path), overwrite
        self._declared: dict[str, Declared] = {}
        self._fixed = NamedArrays()  # coordinates of dimensions that do not grow
        self._waiting: dict[str, Waiting] = {}
        self._run_id = uuid.uuid4().hex
        self._n_segments = self._state = 0
        self.waiting_bytes = 0  # what was appended since the last commit takes about so much memory
        self._usable = True
        self._lock = self._locked()

    # --- beginning --------------------------------------------------------------------------------

    @classmethod
    def create(
        cls, path: str | os.PathLike[str], header: NamedArrays, *, overwrite: bool = False
    ) -> RunStore:
        """Begin a run that will become the file ``path``; ``header`` is what does not grow.

        Raises
        ------
        OutputError
            If it cannot be written, another process is writing it, or, unless ``overwrite``, it
            exists or there is an unfinished run of it.
        """
        store = cls.claim(path, overwrite=overwrite)
        store.begin(header)
        return store

    @classmethod
    def claim(cls, path: str | os.PathLike[str], *, overwrite: bool = False) -> RunStore:
        """Take the lock for a new run; existing files are not changed before :meth:`begin`."""
        target = check_writable(path, overwrite=overwrite)
        store = cls(target, overwrite=overwrite)
        if not overwrite and store._unfinished():
            store.close()
            raise OutputError(
                f"{target}: there is an unfinished run of it, which `neurolp resume {target}` "
                f"continues and --force replaces"
            )
        return store

    def begin(self, header: NamedArrays) -> None:
        """Write ``header``; variables that are declared already appear in it, empty."""
        root = {"run_id": self._run_id, "overwrite": self._overwrite}
        attributes = header.attributes | {"": header.attributes.get("", {}) | root}
        contents = NamedArrays(header.variables, header.coordinates, attributes)
        image = image_of(contents, growing=self._declared.values(), scales=False)
        try:
            self._clear(keep_lock=True)
            write_whole(self.folder / segments.segment_name(0), image, trailer(image))
            sync_folder(self.path.parent)
        except OSError as error:
            self.discard()
            raise OutputError(f"{self.path}: cannot write the result, {error.strerror}") from error
        self._n_segments = 1

    @classmethod
    def reopen(cls, path: str | os.PathLike[str]) -> RunStore:
        """Continue an interrupted run from its last checkpoint.

        Raises
        ------
        OutputError
            If another process is writing it.
        FormatError
            If there is no unfinished run, or it is damaged.
        """
        target = segments.file_of(Path(path))
        folder = segments.folder_of(target)
        if not segments.n_segments(folder):
            if folder.is_dir():  # a process ended while it removed the folder
                cls(target, overwrite=False).discard()
            if target.is_file():
                raise FormatError(f"{target}: is finished, there is nothing to resume")
            raise FormatError(f"{target}: there is no unfinished run of it")
        store = cls(target, overwrite=False)
        try:
            store._take_over()
        except BaseException:
            store.close()
            raise
        return store

    # --- recording --------------------------------------------------------------------------------

    def declare_dimension(self, name: str, dtype: str, units: str, long_name: str) -> None:
        """Declare a dimension that grows; its coordinate is appended to under the same name."""
        self._declare(Declared(name, (name,), (), dtype, units, long_name))

    def declare_coordinate(
        self, name: str, values: npt.ArrayLike, units: str, long_name: str
    ) -> None:
        """Describe a dimension that does not grow; it goes with each checkpoint."""
        self._fixed.add_coordinate(name, values, units, long_name)

    def declare(
        self,
        name: str,
        dims: tuple[str, ...],
        shape: tuple[int, ...],
        dtype: str,
        units: str,
        long_name: str,
    ) -> None:
        """Declare a variable along ``dims``; the first grows, ``shape`` is that of the others."""
        self._declare(Declared(name, dims, shape, dtype, units, long_name))

    def append(self, name: str, values: npt.ArrayLike) -> None:
        """Add rows (n, ...) to a variable, or to the coordinate of a growing dimension."""
        declared = self._declared[name]
        rows = np.array(values, dtype=declared.dtype)  # a copy: callers reuse their buffers
        if rows.shape[1:] != declared.shape:
            raise ValueError(f"{name} has rows of {declared.shape}, but got {rows.shape[1:]}")
        self._waiting[name].add(rows)
        self.waiting_bytes += rows.nbytes + _OVERHEAD

    def forget(self) -> None:
        """Drop what was appended since the last commit."""
        for waiting in self._waiting.values():
            waiting.clear()
        self.waiting_bytes = 0

    def commit(
        self, checkpoint: NamedArrays | None, attributes: dict[str, dict[str, Any]] | None = None
    ) -> None:
        """Commit everything appended since the last commit, and ``checkpoint``, by one rename.

        ``attributes`` are added to those of the header until the next commit. Rows committed
        without a checkpoint are read, but a resumed run continues from the last checkpoint.

        Raises
        ------
        RecordingError
            If the disk is full or fails. What was committed before stays; after this only
            :meth:`close` may be called.
        """
        self._check_usable()
        n = self._n_segments
        root = {"run_id": self._run_id, "checkpoint": checkpoint is not None}
        groups = dict(attributes or {})
        groups[""] = groups.get("", {}) | root
        check_lengths((self._declared[name], rows.n) for name, rows in self._waiting.items())
        growing = [self._declared[name] for name, rows in self._waiting.items() if rows.n]
        with interrupts_ignored():
            contents = NamedArrays(attributes=groups)
            image = image_of(contents, growing=growing, rows=self._waiting, scales=False)
            try:
                if checkpoint is not None:
                    checkpoint.coordinates = self._fixed.coordinates | checkpoint.coordinates
                    self._write_state(self.folder / segments.state_name(n), checkpoint)
                write_whole(self.folder / segments.segment_name(n), image, trailer(image))
            except OSError as error:
                raise self._failed(error) from error
        self._n_segments = n + 1
        self.forget()
        if checkpoint is not None:
            if self._state:
                discard(self.folder / segments.state_name(self._state))
            self._state = n

    def checkpoint(self) -> Trajectory | None:
        """The last checkpoint, open for reading; None before the first."""
        if not self._state:
            return None
        return Trajectory(self.folder / segments.state_name(self._state))

    def header(self) -> Trajectory:
        """The header, open for reading."""
        return Trajectory(self.folder / segments.segment_name(0))

    # --- ending -----------------------------------------------------------------------------------

    def finish(self, contents: NamedArrays) -> Path:
        """Write one file with all appended rows and ``contents``, and remove the folder.

        Raises
        ------
        RecordingError
            If the disk is full or fails: what was committed stays and can be resumed.
        OutputError
            If there is a file of this name meanwhile.
        """
        self._check_usable()
        contents.coordinates = self._fixed.coordinates | contents.coordinates
        complete = self.folder / segments.FINISHED
        parts = [self.folder / segments.segment_name(n) for n in range(self._n_segments)]
        with interrupts_ignored():
            try:
                merge(complete, parts, self._declared, self._waiting, contents)
                check_writable(self.path, overwrite=self._overwrite)
                publish(complete, self.path)
            except OutputError:
                raise
            except OSError as error:
                raise self._failed(error) from error
            self._clear(keep_lock=False)
        return self.path

    def close(self) -> None:
        """Release the lock and leave what was committed; harmless if repeated."""
        if not self._lock.held:
            return
        self._usable = False
        if not (self.folder / segments.segment_name(0)).exists():
            self._clear(keep_lock=False)
        self._lock.release()

    def discard(self) -> None:
        """Remove everything of the run."""
        self._clear(keep_lock=False)

    # --- inside -----------------------------------------------------------------------------------

    def _locked(self) -> Lock:
        try:
            self.folder.mkdir(exist_ok=True)
            return Lock(self.folder / segments.LOCK)
        except HeldError as error:
            raise OutputError(f"{self.path}: is being written by {error}") from error
        except OSError as error:
            raise OutputError(f"{self.path}: cannot write the result, {error.strerror}") from error

    def _unfinished(self) -> bool:
        """Whether the folder holds a run that has not become the file."""
        header = self.folder / segments.segment_name(0)
        return header.exists() and not self._is_finished(header)

    def _is_finished(self, header: Path) -> bool:
        """Whether a process ended between renaming the finished file and removing the folder."""
        if not self.path.is_file():
            return False
        ids = []
        for path in (header, self.path):
            try:
                source = FileSource(path)
            except FormatError:
                return False
            ids.append(source.attributes("").get("run_id"))
            source.close()
        return ids[0] is not None and ids[0] == ids[1]

    def _take_over(self) -> None:
        if self._is_finished(self.folder / segments.segment_name(0)):
            self._clear(keep_lock=False)
            raise FormatError(f"{self.path}: is finished, there is nothing to resume")
        run = RunSource(self.path, whole=True)
        root = run.header.attributes("")
        run.close()
        self._run_id, self._overwrite = root["run_id"], bool(root["overwrite"])
        self._state = run.checkpoint
        # Rows after the last checkpoint will be appended again; a checkpoint without a segment was
        # never committed, nor a part under a temporary name. The last segment is removed first.
        self._n_segments = run.checkpoint + 1
        kept = {segments.LOCK, segments.state_name(self._state)}
        kept |= {segments.segment_name(n) for n in range(self._n_segments)}
        for name in sorted(set(os.listdir(self.folder)) - kept, reverse=True):
            discard(self.folder / name)
        if self._n_segments < run.n_segments:
            run = RunSource(self.path)
            run.close()
        for declared in run.declared.values():
            self._declare(declared)

    def _write_state(self, target: Path, checkpoint: NamedArrays) -> None:
        size = sum(variable.values.nbytes for variable in checkpoint.variables.values())
        if size <= _IN_MEMORY:
            image = image_of(checkpoint, filters=UNCOMPRESSED, scales=False)
            write_whole(target, image, trailer(image))
            return
        partial = target.with_suffix(".partial")
        write_hdf5(
            partial, lambda file, check: lay_out(file, checkpoint, UNCOMPRESSED, scales=False)
        )
        try:
            publish(partial, target)
        except OSError:
            discard(partial)
            raise

    def _declare(self, declared: Declared) -> None:
        known = self._declared.setdefault(declared.name, declared)
        if known.shape != declared.shape or known.dims != declared.dims:
            raise ValueError(f"{declared.name} was declared with {known.dims} and {known.shape}")
        self._waiting.setdefault(declared.name, Waiting())

    def _failed(self, error: OSError) -> RecordingError:
        self._usable = False
        return RecordingError(
            f"{self.path}: cannot record the run, {error.strerror}; "
            f"`neurolp resume {self.path}` continues from what was saved"
        )

    def _check_usable(self) -> None:
        if not self._usable or not self._n_segments:
            raise ValueError(f"the run of {self.path} is not open for recording")

    def _clear(self, *, keep_lock: bool) -> None:
        """Remove what is in the folder, the header first: without it there is no run."""
        names = set(os.listdir(self.folder)) - {segments.LOCK}
        for name in sorted(names, key=lambda name: (name != segments.segment_name(0), name)):
            (discard if not keep_lock else os.unlink)(self.folder / name)
        if not keep_lock:
            discard(self.folder / segments.LOCK)
            with contextlib.suppress(OSError):
                self.folder.rmdir()
            self._usable = False
            self._lock.release()
