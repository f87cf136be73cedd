import { RegisterMap } from '../registers/register-map.ts'
import { QUEUE_ENTRIES } from './limits.ts'

/**
 * Controller registers. Source: NVM Express Base Specification 1.4, §3.1.
 *
 *   0x00 CAP    MQES 15:0 (entries - 1), CQR 16 (queues are contiguous), AMS 18:17, TO 31:24 (500 ms), DSTRD 35:32, NSSRS 36, CSS 44:37,
 *               MPSMIN 51:48, MPSMAX 55:52
 *   0x08 VS     0x0c INTMS (write 1 to set)   0x10 INTMC (write 1 to clear)
 *   0x14 CC     EN 0, CSS 6:4, MPS 10:7, AMS 13:11, SHN 15:14, IOSQES 19:16, IOCQES 23:20
 *   0x1c CSTS   RDY 0, CFS 1, SHST 3:2
 *   0x24 AQA    ASQS 11:0, ACQS 27:16 (entries - 1)   0x28 ASQ   0x30 ACQ
 *   0x1000      doorbells, 4 bytes each: tail of submission queue 0, head of completion queue 0, tail of 1, ...
 *
 * Left out on purpose: subsystem reset, controller memory buffer, persistent memory region, boot partitions, weighted round robin.
 */
export const DOORBELLS = 0x1000
export const VERSION = 0x00010400

export const Configuration = { EN: 1, CSS: 0x70, MPS: 0x780, AMS: 0x3800, SHN: 0xc000, IOSQES: 0xf0000, IOCQES: 0xf00000 } as const
export const ControllerStatus = { RDY: 1, CFS: 2, SHST: 0xc, SHST_OCCURRING: 4, SHST_COMPLETE: 8 } as const

const CONTIGUOUS_QUEUES = 1 << 16
/** The disks of a controller that is being reset must have answered: 30 s. */
const TIMEOUT = 60 << 24
const NVM_COMMAND_SET = 1 << 5
const CC_WRITABLE = 0x00fffff1
const AQA_WRITABLE = 0x0fff0fff
const QUEUE_BASE = 0xfffff000

export interface RegisterHandlers {
  /** CC was written. */
  configured(): void
  /** INTMS or INTMC was. */
  masked(): void
}

export function controllerRegisters(handlers: RegisterHandlers): RegisterMap {
  const map: RegisterMap = new RegisterMap([
    { name: 'CAP', offset: 0x00, width: 4, reset: QUEUE_ENTRIES - 1 | CONTIGUOUS_QUEUES | TIMEOUT },
    { name: 'CAP_HIGH', offset: 0x04, width: 4, reset: NVM_COMMAND_SET },
    { name: 'VS', offset: 0x08, width: 4, reset: VERSION },
    { name: 'INTMS', offset: 0x0c, width: 4, dynamic: 0xffffffff, written: (stored, raw) => setMask(stored | raw) },
    { name: 'INTMC', offset: 0x10, width: 4, read: () => map.get('INTMS'), written: (_, raw) => setMask(map.get('INTMS') & ~raw) },
    { name: 'CC', offset: 0x14, width: 4, writable: CC_WRITABLE, written: () => handlers.configured() },
    { name: 'CSTS', offset: 0x1c, width: 4, dynamic: 0xf },
    { name: 'AQA', offset: 0x24, width: 4, writable: AQA_WRITABLE },
    { name: 'ASQ', offset: 0x28, width: 4, writable: QUEUE_BASE },
    { name: 'ASQ_HIGH', offset: 0x2c, width: 4, writable: 0xffffffff },
    { name: 'ACQ', offset: 0x30, width: 4, writable: QUEUE_BASE },
    { name: 'ACQ_HIGH', offset: 0x34, width: 4, writable: 0xffffffff },
  ], DOORBELLS)
  const setMask = (mask: number): void => {
    map.set('INTMS', mask)
    handlers.masked()
  }
  return map
}
