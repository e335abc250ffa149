import { UserError } from "../errors.js";

/** What of an {@link ApiError} goes from one thread to another. */
export interface ApiErrorFields {
  status: number;
  message: string;
  type: "invalid_request_error" | "authentication_error" | "rate_limit_error" | "server_error";
  /** The field of the request that is wrong, e.g. `messages[2].content`. */
  param: string | null;
  code: string | null;
  headers: Record<string, string>;
}

/** An answer other than what was asked for, in the form of OpenAI's API. */
export class ApiError extends Error {
  readonly fields: ApiErrorFields;

  constructor(fields: Partial<ApiErrorFields> & Pick<ApiErrorFields, "status" | "message">) {
    super(fields.message);
    const { status } = fields;
    const type =
      status === 401
        ? "authentication_error"
        : status === 429
          ? "rate_limit_error"
          : status >= 500
            ? "server_error"
            : "invalid_request_error";
    this.fields = { type, param: null, code: null, headers: {}, ...fields };
  }

  get status(): number {
    return this.fields.status;
  }

  toJSON(): object {
    const { message, type, param, code } = this.fields;
    return { error: { message, type, param, code } };
  }
}

/** A request that is wrong in one field. */
export const badField = (param: string, message: string, code: string | null = null): ApiError =>
  new ApiError({ status: 400, message: `${param}: ${message}`, param, code });

/** Any error as one that a client may see: what a user did not cause is not described. */
export function apiErrorOf(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof UserError) {
    const text = error.hint ? `${error.message}. ${error.hint}` : error.message;
    return new ApiError({ status: error.exitCode === 2 ? 400 : 500, message: text });
  }
  return new ApiError({ status: 500, message: "The server failed at this request.", code: "internal_error" });
}
