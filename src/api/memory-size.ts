import { apiError } from './errors.ts'

const UNITS: Readonly<Record<string, number>> = { K: 1024, M: 1024 ** 2, G: 1024 ** 3 }
const MIB = 1024 ** 2

/** Bytes of RAM. Throws TenonError MEMORY_SIZE_INVALID. */
export function memoryBytes(memory: number | string): number {
  const [, digits, unit] = typeof memory === 'string' ? /^(\d{1,9})([KMG])(?:i?B)?$/i.exec(memory) ?? [] : []
  const bytes = typeof memory === 'number' ? memory : Number(digits) * UNITS[unit?.toUpperCase() ?? '']
  if (bytes >= MIB && bytes % MIB === 0) return bytes
  throw apiError('MEMORY_SIZE_INVALID', `${JSON.stringify(memory)} is no memory size: give whole mebibytes, as bytes or as text such as 512M or 2G`)
}
