/**
 * The error every room throws for bad input and failed operations. Guest faults are never errors: they are values.
 *
 * `code` is stable and machine-readable (`IMAGE_SIGNATURE_INVALID`); the message says what failed, where, and what to do.
 * Each room declares its own union of codes and passes it as `Code`.
 */
export class TenonError<Code extends string = string> extends Error {
  readonly code: Code

  constructor(code: Code, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'TenonError'
    this.code = code
  }
}

/** Thrown when the program contradicts itself: never caused by a guest, an image or a user. */
export function unreachable(what: string): never {
  throw new TenonError('INTERNAL', `internal error: ${what} (please report it)`)
}
