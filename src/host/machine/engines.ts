import { hostError } from '../errors.ts'

/** How guest code is run: `interpret` never translates, `translate` translates what is hot, `auto` chooses. */
export const ENGINES = ['auto', 'translate', 'interpret'] as const
export type EngineName = (typeof ENGINES)[number]

/** Whether hot code is translated. Throws TenonError ENGINE_UNKNOWN. */
export function translates(engine: EngineName = 'auto'): boolean {
  if (ENGINES.includes(engine)) return engine !== 'interpret'
  throw hostError('ENGINE_UNKNOWN', `${JSON.stringify(engine)} is no engine: there is ${ENGINES.join(', ')}`)
}
