/**
 * The generated protocol types of `callboard.v1`, for what the SDK's own types leave out.
 *
 * @packageDocumentation
 */
export * from "./_gen/callboard/v1/admin_service_pb.js";
export * from "./_gen/callboard/v1/agent_pb.js";
export * from "./_gen/callboard/v1/agent_service_pb.js";
export * from "./_gen/callboard/v1/assignment_pb.js";
export * from "./_gen/callboard/v1/child_pb.js";
export * from "./_gen/callboard/v1/error_pb.js";
export * from "./_gen/callboard/v1/event_pb.js";
export * from "./_gen/callboard/v1/message_pb.js";
export * from "./_gen/callboard/v1/message_service_pb.js";
export * from "./_gen/callboard/v1/namespace_service_pb.js";
export * from "./_gen/callboard/v1/output_pb.js";
export * from "./_gen/callboard/v1/payload_pb.js";
export * from "./_gen/callboard/v1/step_pb.js";
export * from "./_gen/callboard/v1/task_pb.js";
export * from "./_gen/callboard/v1/task_service_pb.js";
export * from "./_gen/callboard/v1/workflow_pb.js";
export * from "./_gen/callboard/v1/workflow_service_pb.js";
