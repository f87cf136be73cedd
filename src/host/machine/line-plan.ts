import { SERIAL_LINES } from './channel.ts'

/** Which of a channel's lines is what: COM1 to COM4, the virtio console if there is one, named ports. */
export interface LinePlan {
  readonly console: number | undefined
  readonly ports: readonly number[]
  readonly count: number
}

export function planLines(hasConsole: boolean, ports: number): LinePlan {
  const first = SERIAL_LINES + (hasConsole ? 1 : 0)
  const numbers = Array.from({ length: ports }, (_, index) => first + index)
  return { console: hasConsole ? SERIAL_LINES : undefined, ports: numbers, count: first + ports }
}
