import type { StateReader } from '../../machine/state-reader.ts'
import { LogPage } from './log-pages.ts'

/**
 * Asynchronous events. Source: NVM Express Base Specification 1.4, §5.2. One of each type waits at most; after it was told, no further
 * one of that type is until its log page has been read.
 *
 *   completion's dword 0: type 2:0, information 15:8, log page 23:16
 */
export const EventType = { ERROR: 0, SMART: 1 } as const
export const ErrorEvent = { INVALID_DOORBELL_REGISTER: 0, INVALID_DOORBELL_VALUE: 1 } as const
export const SmartEvent = { TEMPERATURE: 1 } as const

const LOG_PAGES: readonly number[] = [LogPage.ERROR_INFORMATION, LogPage.SMART]
const NONE = -1

export class AsynchronousEvents {
  /** By type: the information of one that waits. */
  private readonly pending = LOG_PAGES.map(() => NONE)
  private readonly masked = LOG_PAGES.map(() => false)

  raise(type: number, information: number): void {
    if (!this.masked[type] && this.pending[type] === NONE) this.pending[type] = information
  }

  /** Dword 0 for the next event, or undefined. */
  take(): number | undefined {
    const type = this.pending.findIndex((information) => information !== NONE)
    if (type < 0) return undefined
    const result = type | this.pending[type] << 8 | LOG_PAGES[type] << 16
    this.pending[type] = NONE
    this.masked[type] = true
    return result
  }

  /** A log page was read without retaining the event. */
  logRead(page: number): void {
    const type = LOG_PAGES.indexOf(page)
    if (type < 0) return
    this.masked[type] = false
    this.pending[type] = NONE
  }

  reset(): void {
    this.pending.fill(NONE)
    this.masked.fill(false)
  }

  save(): { pending: number[], masked: number[] } { return { pending: [...this.pending], masked: this.masked.map(Number) } }

  restore(state: StateReader): void {
    state.integers('pending', LOG_PAGES.length, NONE, 0xff).forEach((information, type) => { this.pending[type] = information })
    state.integers('masked', LOG_PAGES.length, 0, 1).forEach((masked, type) => { this.masked[type] = masked === 1 })
  }
}
