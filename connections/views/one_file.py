"""Take the one file of a form, and nothing of who may not send it or of too much.

Whoever reads the body first decides where the file goes: the view that sets the handler,
before the CSRF check looks for its token in it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, SkipFile


class ArrivingFile(UploadedFile, ABC):  # type: ignore[type-arg]  # generic in stubs
    """A file that takes its bytes as they come."""

    @abstractmethod
    def add(self, data: bytes) -> None:
        """Take the next bytes."""

    def end(self, size: int) -> None:
        """Be whole."""
        self.size = size


F = TypeVar("F", bound=ArrivingFile)


class OneFileHandler(FileUploadHandler, Generic[F]):
    """Give the form the file that `begin` makes of a name, and no second one.

    `begin` is asked when the file begins, and answers None for who may not send it.
    """

    chunk_size = 1024 * 1024

    def __init__(self, begin: Callable[[str], F | None], *, limit_bytes: int) -> None:
        super().__init__()
        self._begin = begin
        self._limit_bytes = limit_bytes
        # Not `file`: Django closes that of every handler.
        self.arriving: F | None = None
        self.is_too_large = False

    def handle_raw_input(
        self, input_data: Any, META: Any, content_length: int, *args: Any, **more: Any
    ) -> None:
        """Take nothing of what says beforehand that it is too much."""
        self.is_too_large = content_length > self._limit_bytes

    def new_file(self, *args: Any, **more: Any) -> None:
        super().new_file(*args, **more)
        if self.is_too_large or self.arriving is not None:
            raise SkipFile
        self.arriving = self._begin(self.file_name or "")
        if self.arriving is None:
            raise SkipFile

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        if self.arriving is not None:
            self.arriving.add(raw_data)

    def file_complete(self, file_size: int) -> F | None:
        if self.arriving is not None:
            self.arriving.end(file_size)
        return self.arriving
