import type { Context } from 'hono'
import type { ZodType } from 'zod'
import { hostError } from '../../host/errors.ts'

/** The body of a request, checked; no body is an empty object. Throws TenonError HOST_PROCESS_REQUEST, which says what is wrong. */
export async function readBody<T>(context: Context, schema: ZodType<T>): Promise<T> {
  return checked(schema, parseJson(await context.req.text()))
}

/** Throws TenonError HOST_PROCESS_REQUEST, which says what is wrong. */
export function checked<T>(schema: ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const what = result.error.issues.map(({ path, message }) => `${path.length === 0 ? 'the body' : path.join('.')}: ${message}`).join('; ')
  throw hostError('HOST_PROCESS_REQUEST', `the request makes no sense: ${what}`)
}

function parseJson(text: string): unknown {
  try {
    return text === '' ? {} : JSON.parse(text)
  } catch {
    throw hostError('HOST_PROCESS_REQUEST', 'the request makes no sense: its body is no JSON')
  }
}
