import { TenonError } from '../base/errors.ts'

/** What is wrong with how the library was called. */
export type ApiErrorCode = 'MEMORY_SIZE_INVALID' | 'OPTIONS_CONFLICT' | 'COMMANDS_UNSUPPORTED' | 'OUTPUT_TOO_LARGE'

export function apiError(code: ApiErrorCode, message: string): TenonError<ApiErrorCode> {
  return new TenonError(code, message)
}
