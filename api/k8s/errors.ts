/** The refusals of the Kubernetes service, worded as the API server words them. */
import { invalidObject } from "./field_errors.ts";
import { qualifiedResource, type ResourceDefinition } from "./resources.ts";
import { StatusError } from "./status.ts";
import type { AccessRequest } from "./authorize.ts";

function details(resource: ResourceDefinition, name: string) {
  return { name, group: resource.group, kind: resource.plural };
}

export function notFound(resource: ResourceDefinition, name: string): StatusError {
  return new StatusError("NotFound", `${qualifiedResource(resource)} "${name}" not found`, {
    details: details(resource, name),
  });
}

export function alreadyExists(resource: ResourceDefinition, name: string): StatusError {
  return new StatusError(
    "AlreadyExists",
    `${qualifiedResource(resource)} "${name}" already exists`,
    {
      details: details(resource, name),
    },
  );
}

export function conflict(resource: ResourceDefinition, name: string, why: string): StatusError {
  return new StatusError(
    "Conflict",
    `Operation cannot be fulfilled on ${qualifiedResource(resource)} "${name}": ${why}`,
    { details: details(resource, name) },
  );
}

export const STALE =
  "the object has been modified; please apply your changes to the latest version and try again";

export function invalid(
  resource: ResourceDefinition,
  name: string,
  field: string,
  message: string,
): StatusError {
  return invalidObject(resource, name, [{ reason: "FieldValueInvalid", field, message }]);
}

export function forbidden(request: AccessRequest, reason: string): StatusError {
  const { user, verb, resource, group, namespace, name } = request;
  const where = namespace === "" ? "at the cluster scope" : `in the namespace "${namespace}"`;
  const what = group === "" ? resource : `${resource}.${group}`;
  const subject = name === "" ? what : `${what} "${name}"`;
  return new StatusError(
    "Forbidden",
    `${subject} is forbidden: User "${user.name}" cannot ${verb} resource "${resource}" in API group "${group}" ${where}: ${reason}`,
    { details: { name, group, kind: resource } },
  );
}

export function expired(): StatusError {
  return new StatusError(
    "Expired",
    "The resourceVersion for the provided list or watch is too old: start over without it",
  );
}
