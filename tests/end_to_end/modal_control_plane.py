"""Modal's control plane as far as looking a server up needs it, for the real ``modal`` client.

``python modal_control_plane.py PORT FILE`` answers with what stands in a file of JSON at that
moment: ``{"urls": [URL, ...], "containers": [[ID, HOST, PORT], ...]}``, for every app and name but
those called ``unknown``. Prints the name of each call.
"""

import asyncio
import json
import signal
import sys
from pathlib import Path

from grpclib import GRPCError, Status
from grpclib.const import Cardinality, Handler
from grpclib.server import Server, Stream
from modal_proto import api_pb2


class ControlPlane:
    def __init__(self, file: Path) -> None:
        self._file = file

    def __mapping__(self) -> dict[str, Handler]:
        answers = (self.ClassGet, self.FunctionGet, self.FlashContainerList)
        return {
            f"/modal.client.ModalClient/{answer.__name__}": Handler(
                answer,
                Cardinality.UNARY_UNARY,
                getattr(api_pb2, f"{answer.__name__}Request"),
                getattr(api_pb2, f"{answer.__name__}Response"),
            )
            for answer in answers
        }

    async def ClassGet(self, stream: Stream) -> None:
        await self._asked(stream, "ClassGet")
        await stream.send_message(api_pb2.ClassGetResponse(class_id="cs-1"))

    async def FunctionGet(self, stream: Stream) -> None:
        asked = await self._asked(stream, "FunctionGet")
        if asked.app_name == "unknown":
            raise GRPCError(Status.NOT_FOUND, "no such app")
        urls = json.loads(self._file.read_text())["urls"]
        metadata = api_pb2.FunctionHandleMetadata(
            function_name=asked.object_tag, _experimental_flash_urls=urls
        )
        function = api_pb2.FunctionData(ranked_functions=[api_pb2.FunctionData.RankedFunction()])
        await stream.send_message(
            api_pb2.FunctionGetResponse(
                function_id="fu-1", handle_metadata=metadata, function=function
            )
        )

    async def FlashContainerList(self, stream: Stream) -> None:
        asked = await self._asked(stream, "FlashContainerList")
        assert asked.function_id == "fu-1"
        containers = [
            api_pb2.FlashContainerListResponse.Container(task_id=task_id, host=host, port=port)
            for task_id, host, port in json.loads(self._file.read_text())["containers"]
        ]
        await stream.send_message(api_pb2.FlashContainerListResponse(containers=containers))

    async def _asked(self, stream: Stream, call: str):
        print(call, flush=True)
        return await stream.recv_message()


async def main(port: int, file: Path) -> None:
    server = Server([ControlPlane(file)])
    await server.start("127.0.0.1", port)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.close)
    await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2])))
