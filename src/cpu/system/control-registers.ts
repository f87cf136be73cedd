import { Vector } from '../mmu/faults.ts'
import { Block, Segment } from '../state/layout.ts'
import { Dr6, Dr7 } from './debug.ts'
import { privileged, userReadable } from './descriptor-tables.ts'
import { Attribute, Cr0, Cr4, Efer, is64Bit, setCr0, setCr4, setEfer } from './mode.ts'
import { HelperOutcome } from './outcome.ts'
import type { Processor } from './processor.ts'

/** Control and debug registers with their side effects: MOV CR, MOV DR, LMSW, SMSW, CLTS (SDM Vol. 2B, Vol. 3A §2.5, §9.9). */

/** The bits of CR0 that exist. */
export const CR0_DEFINED = Cr0.PE | Cr0.MP | Cr0.EM | Cr0.TS | Cr0.ET | Cr0.NE | Cr0.WP | Cr0.AM | Cr0.NW | Cr0.CD | Cr0.PG
/** The bits of CR4 that a processor with all features has. */
const CR4_DEFINED = Cr4.VME | Cr4.PVI | Cr4.TSD | Cr4.DE | Cr4.PSE | Cr4.PAE | Cr4.PGE | Cr4.PCE | Cr4.OSFXSR |
  Cr4.OSXMMEXCPT | Cr4.UMIP | Cr4.FSGSBASE | Cr4.OSXSAVE | Cr4.SMEP | Cr4.SMAP
/** The bits of CR4 that a processor has. Of those that belong to a feature, only one is of a feature that models lack. */
export const definedCr4 = ({ features }: Processor): number => features.has('XSAVE') ? CR4_DEFINED : CR4_DEFINED & ~Cr4.OSXSAVE
/** Changes of these bits of CR4 flush the TLB. */
const PAGING_CR0 = Cr0.PG | Cr0.PE | Cr0.WP
const PAGING_CR4 = Cr4.PSE | Cr4.PAE | Cr4.PGE | Cr4.SMEP | Cr4.SMAP
const PDPTE_CR0 = Cr0.PG | Cr0.CD | Cr0.NW
const PDPTE_CR4 = Cr4.PSE | Cr4.PAE | Cr4.PGE | Cr4.SMEP

/** MOV from CR: argument 0 is the register's number. */
export function readControl(cpu: Processor): HelperOutcome {
  if (!privileged(cpu)) return HelperOutcome.FAULT
  switch (cpu.argument32(0)) {
    case 0: cpu.setResult64(cpu.state.blockU64(Block.CR0)); break
    case 2: cpu.setResult64(cpu.state.blockU64(Block.CR2)); break
    case 3: cpu.setResult64(cpu.state.blockU64(Block.CR3)); break
    case 4: cpu.setResult64(cpu.state.blockU64(Block.CR4)); break
    case 8: cpu.setResult64(BigInt(cpu.environment.apic.cr8)); break
    default: return cpu.fail(Vector.UD)
  }
  return HelperOutcome.OK
}

/** MOV to CR: arguments are the register's number, the value and the next instruction's pointer. */
export function writeControl(cpu: Processor): HelperOutcome {
  if (!privileged(cpu)) return HelperOutcome.FAULT
  const wide = is64Bit(cpu.state)
  const value = wide ? cpu.argument64(1) : BigInt.asUintN(32, cpu.argument64(1))
  const next = cpu.argument64(2)
  const done = writeControlRegister(cpu, cpu.argument32(0), value)
  if (!done) return HelperOutcome.FAULT
  cpu.state.rip = next
  return HelperOutcome.RESYNC
}

/** False with a fault recorded. */
export function writeControlRegister(cpu: Processor, register: number, value: bigint): boolean {
  switch (register) {
    case 0: return value >> 32n === 0n ? writeCr0(cpu, Number(value)) : cpu.fault(Vector.GP)
    case 2:
      cpu.state.setBlockU64(Block.CR2, value)
      return true
    case 3: return writeCr3(cpu, value)
    case 4: return value >> 32n === 0n ? writeCr4(cpu, Number(value)) : cpu.fault(Vector.GP)
    case 8:
      if (value > 15n) return cpu.fault(Vector.GP)
      cpu.environment.apic.cr8 = Number(value)
      return true
    default: return cpu.fault(Vector.UD)
  }
}

export function writeCr0(cpu: Processor, requested: number): boolean {
  const { state } = cpu
  const old = state.cr0
  const value = ((requested & CR0_DEFINED) | Cr0.ET) >>> 0
  const paging = (value & Cr0.PG) !== 0
  if ((paging && (value & Cr0.PE) === 0) || ((value & Cr0.NW) !== 0 && (value & Cr0.CD) === 0)) return cpu.fault(Vector.GP)
  const startsPaging = paging && (old & Cr0.PG) === 0
  const stopsPaging = !paging && (old & Cr0.PG) !== 0
  if (startsPaging && (state.efer & Efer.LME) !== 0) {
    const inLongCode = (state.segmentAttributes(Segment.CS) & Attribute.LONG) !== 0
    if ((state.cr4 & Cr4.PAE) === 0 || inLongCode) return cpu.fault(Vector.GP)
    setEfer(state, state.efer | Efer.LMA)
  } else if (stopsPaging && is64Bit(state)) return cpu.fault(Vector.GP)
  if (paging && ((old ^ value) & PDPTE_CR0) !== 0 && !loadPdptes(cpu, state.cr4, state.blockU32(Block.CR3))) return false
  if (stopsPaging) setEfer(state, state.efer & ~Efer.LMA)
  setCr0(state, value)
  if (((old ^ value) & PAGING_CR0) !== 0) cpu.mmu.configure()
  else if (((old ^ value) & Cr0.AM) !== 0) cpu.mmu.selectContext()
  return true
}

/** With PAE paging outside long mode, the PDPTEs go into registers; #GP(0) if they have reserved bits set. */
function loadPdptes(cpu: Processor, cr4: number, cr3: number): boolean {
  if ((cr4 & Cr4.PAE) === 0 || (cpu.state.efer & Efer.LMA) !== 0) return true
  return cpu.mmu.walker.loadPdptes(cr3) || cpu.fault(Vector.GP)
}

function writeCr3(cpu: Processor, value: bigint): boolean {
  const { state } = cpu
  const long = (state.efer & Efer.LMA) !== 0
  if (long && value >> 40n !== 0n) return cpu.fault(Vector.GP)
  const paging = (state.cr0 & Cr0.PG) !== 0
  if (paging && !loadPdptes(cpu, state.cr4, Number(value & 0xffffffffn))) return false
  state.setBlockU64(Block.CR3, value)
  cpu.mmu.rootChanged()
  return true
}

export function writeCr4(cpu: Processor, value: number): boolean {
  const { state } = cpu
  const old = state.cr4
  if ((value & ~definedCr4(cpu)) !== 0) return cpu.fault(Vector.GP)
  const dropsPae = (old & ~value & Cr4.PAE) !== 0
  if (dropsPae && (state.efer & Efer.LMA) !== 0) return cpu.fault(Vector.GP)
  const paging = (state.cr0 & Cr0.PG) !== 0
  if (paging && ((old ^ value) & PDPTE_CR4) !== 0 && !loadPdptes(cpu, value, state.blockU32(Block.CR3))) return false
  setCr4(state, value)
  if (((old ^ value) & PAGING_CR4) !== 0) cpu.mmu.configure()
  return true
}

/** IA32_EFER: LME may not change while paging is on; LMA is the processor's. */
export function writeEfer(cpu: Processor, value: number): boolean {
  const { state } = cpu
  const old = state.efer
  if ((value & ~(Efer.SCE | Efer.LME | Efer.LMA | Efer.NXE)) !== 0) return cpu.fault(Vector.GP)
  if (((old ^ value) & Efer.LME) !== 0 && (state.cr0 & Cr0.PG) !== 0) return cpu.fault(Vector.GP)
  setEfer(state, (value & ~Efer.LMA) | (old & Efer.LMA))
  if (((old ^ value) & Efer.NXE) !== 0) cpu.mmu.configure()
  return true
}

/** LMSW: argument 0 is the word, argument 1 the next instruction's pointer. It can set PE but not clear it. */
export function loadMachineStatus(cpu: Processor): HelperOutcome {
  if (!privileged(cpu)) return HelperOutcome.FAULT
  const next = cpu.argument64(1)
  const old = cpu.state.cr0
  const low = (cpu.argument32(0) & 15) | (old & Cr0.PE)
  if (!writeCr0(cpu, ((old & ~15) | low) >>> 0)) return HelperOutcome.FAULT
  cpu.state.rip = next
  return HelperOutcome.RESYNC
}

/** SMSW: CR0. */
export function storeMachineStatus(cpu: Processor): HelperOutcome {
  if (!userReadable(cpu)) return HelperOutcome.FAULT
  cpu.setResult64(cpu.state.blockU64(Block.CR0))
  return HelperOutcome.OK
}

/** CLTS; argument 0 is the next instruction's pointer. What is decoded depends on TS, so the engine must look again. */
export function clearTaskSwitched(cpu: Processor): HelperOutcome {
  if (!privileged(cpu)) return HelperOutcome.FAULT
  const next = cpu.argument64(0)
  setCr0(cpu.state, (cpu.state.cr0 & ~Cr0.TS) >>> 0)
  cpu.state.rip = next
  return HelperOutcome.RESYNC
}

/** DR4 and DR5 are other names of DR6 and DR7, unless CR4.DE is set. False: #UD, #GP or #DB is recorded. */
function debugAccess(cpu: Processor, register: number): boolean {
  if ((register === 4 || register === 5) && (cpu.state.cr4 & Cr4.DE) !== 0) return cpu.fault(Vector.UD)
  if (register > 7) return cpu.fault(Vector.UD)
  if (!privileged(cpu)) return false
  if ((cpu.debug.dr7 & Dr7.GD) === 0) return true
  cpu.debug.report(Dr6.BD)
  return cpu.fault(Vector.DB)
}

const debugSlot = (register: number): number => Block.DR + (register === 4 || register === 5 ? register + 2 : register) * 8

/** MOV from DR: argument 0 is the register's number. */
export function readDebug(cpu: Processor): HelperOutcome {
  const register = cpu.argument32(0)
  if (!debugAccess(cpu, register)) return HelperOutcome.FAULT
  cpu.setResult64(cpu.state.blockU64(debugSlot(register)))
  return HelperOutcome.OK
}

/** MOV to DR: the register's number, the value and the next instruction's pointer. */
export function writeDebug(cpu: Processor): HelperOutcome {
  const register = cpu.argument32(0)
  if (!debugAccess(cpu, register)) return HelperOutcome.FAULT
  const value = cpu.argument64(1)
  const slot = debugSlot(register)
  if (slot >= Block.DR + 48 && value >> 32n !== 0n) return cpu.fail(Vector.GP)
  cpu.state.setBlockU64(slot, debugValue(slot, value))
  cpu.debug.changed()
  cpu.state.rip = cpu.argument64(2)
  return HelperOutcome.RESYNC
}

function debugValue(slot: number, value: bigint): bigint {
  if (slot === Block.DR + 48) return (value & 0xe00fn) | BigInt(Dr6.FIXED)
  return slot === Block.DR + 56 ? (value & 0xffff2bffn) | BigInt(Dr7.FIXED) : value
}
