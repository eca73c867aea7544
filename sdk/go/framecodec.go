package callboard

import (
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

// encodedFrame is a message that was encoded where it was made.
type encodedFrame []byte

// frameCodec is protobuf's, and sends what is encoded already as it is: so a task that can't be encoded fails its own run, and not the
// stream of others, and what waits for its outcome is bytes.
type frameCodec struct {
	encoding.CodecV2
}

func newFrameCodec() frameCodec {
	return frameCodec{encoding.GetCodecV2(proto.Name)}
}

// Marshal encodes what isn't yet.
func (c frameCodec) Marshal(message any) (mem.BufferSlice, error) {
	if frame, is := message.(encodedFrame); is {
		return mem.BufferSlice{mem.SliceBuffer(frame)}, nil
	}
	return c.CodecV2.Marshal(message)
}
