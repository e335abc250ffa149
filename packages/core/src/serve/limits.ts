/** What one server lets its clients ask for. */
export interface ServeLimits {
  /** Of a request's body. */
  bodyBytes: number;
  /** Of one prompt; the model's context is a limit too. */
  promptTokens: number;
  /** Of one answer; also what is generated where a chat request names no number. */
  newTokens: number;
  /** Answers to one request: prompts times `n`. */
  answers: number;
  /** Answers that may wait for a free row of a model. More are turned away with status 429. */
  waiting: number;
  /** From the request's last byte to the answer's. */
  seconds: number;
  /** Connections that are open at the same time. */
  connections: number;
  /** Until a request's headers are there; for the whole request it is three times as much. */
  headerSeconds: number;
  /** Bytes of one answer that its client has not taken yet. */
  unsentBytes: number;
}

export const serveLimitDefaults: ServeLimits = {
  bodyBytes: 4 * 2 ** 20,
  promptTokens: Number.POSITIVE_INFINITY,
  newTokens: 4096,
  answers: 128,
  waiting: 256,
  seconds: 600,
  connections: 512,
  headerSeconds: 10,
  unsentBytes: 4 * 2 ** 20,
};
