// Writes jspos.hex: messages built by the npm library jspos 0.0.11-RELEASE, a port of jPOS to JavaScript.
//   npm install jspos@0.0.11-RELEASE && node jspos.js > jspos.hex
const { ISOBasePackager, ISOMsg, packer: P } = require('jspos')

// Field tables by hand from the specifications, in jPOS's own words; nothing here comes from posdx.
const unionpay = {
  0: new P.IFB_NUMERIC(4, 'mti', true), 1: new P.IFB_BITMAP(8, 'bitmap'), 2: new P.IFB_LLNUM(19, 'pan', false), 3: new P.IFB_NUMERIC(6, 'proc', true),
  4: new P.IFB_NUMERIC(12, 'amount', true), 11: new P.IFB_NUMERIC(6, 'stan', true), 12: new P.IFB_NUMERIC(6, 'time', true), 13: new P.IFB_NUMERIC(4, 'date', true),
  14: new P.IFB_NUMERIC(4, 'expiry', true), 15: new P.IFB_NUMERIC(4, 'settled', true), 22: new P.IFB_NUMERIC(3, 'entry', false), 25: new P.IFB_NUMERIC(2, 'cond', true),
  26: new P.IFB_NUMERIC(2, 'pinlen', true), 32: new P.IFB_LLNUM(11, 'acq', false), 37: new P.IF_CHAR(12, 'rrn'), 38: new P.IF_CHAR(6, 'auth'), 39: new P.IF_CHAR(2, 'code'),
  41: new P.IF_CHAR(8, 'tid'), 42: new P.IF_CHAR(15, 'mid'), 44: new P.IFB_LLCHAR(25, 'more'), 49: new P.IF_CHAR(3, 'currency'), 53: new P.IFB_NUMERIC(16, 'security', true),
  60: new P.IFB_LLLNUM(17, 'custom', false), 63: new P.IFB_LLLCHAR(163, 'private'),
}
const ascii = {
  0: new P.IFA_NUMERIC(4, 'mti'), 1: new P.IFB_BITMAP(16, 'bitmap'), 2: new P.IFA_LLNUM(19, 'pan'), 3: new P.IFA_NUMERIC(6, 'proc'), 4: new P.IFA_NUMERIC(12, 'amount'),
  7: new P.IFA_NUMERIC(10, 'sent'), 11: new P.IFA_NUMERIC(6, 'stan'), 12: new P.IFA_NUMERIC(6, 'time'), 13: new P.IFA_NUMERIC(4, 'date'), 32: new P.IFA_LLNUM(11, 'acq'),
  37: new P.IF_CHAR(12, 'rrn'), 39: new P.IF_CHAR(2, 'code'), 41: new P.IF_CHAR(8, 'tid'), 42: new P.IF_CHAR(15, 'mid'), 48: new P.IFA_LLLCHAR(999, 'private'),
  60: new P.IFA_LLLCHAR(999, 'custom'), 90: new P.IFA_NUMERIC(42, 'original'), 102: new P.IFA_LLCHAR(28, 'account'),
}

function pack(table, fields) {
  class Packager extends ISOBasePackager {
    constructor() {
      super()
      const fld = []
      for (let i = 0; i <= 128; i++) fld[i] = table[i] || null
      this.setFieldPackager(fld)
    }
  }
  const p = new Packager()
  const m = p.createISOMsg ? p.createISOMsg() : new ISOMsg()
  if (!p.createISOMsg) m.setPackager(p)
  m.setMTI(fields[0])
  for (const n of Object.keys(fields)) if (n !== '0') m.setField ? m.setField(+n, fields[n]) : m.set(+n, fields[n])
  return Buffer.from(m.pack())
}

const hex = s => Buffer.from(s, 'hex')
const tpdu = hex('6000030000'), header = hex('602200000000'), newer = hex('613100310003')
const lri = Buffer.concat([Buffer.from('LRI'), hex('001c'), Buffer.alloc(28, '0')])
const lengths = {
  binary2: n => hex(n.toString(16).padStart(4, '0')),
  bcd2: n => hex(String(n).padStart(4, '0')),
  ascii4: n => Buffer.from(String(n).padStart(4, '0')),
}
const out = (name, length, ...parts) => {
  const body = Buffer.concat(parts)
  console.log(name, Buffer.concat([lengths[length](body.length), body]).toString('hex'))
}

const pan = '6222020000000003'
const ask = { 0: '0200', 2: pan, 3: '000000', 4: '000000012345', 11: '000123', 14: '3012', 22: '051', 25: '00', 26: '06', 41: '10077120', 42: '898330154110012', 49: '156', 53: '2600000000000000', 60: '22000001000', 63: 'CUP' }
const answer = { 0: '0210', 2: pan, 3: '000000', 4: '000000012345', 11: '000123', 12: '131411', 13: '1121', 15: '1122', 25: '00', 32: '48021000', 37: '112113000123', 38: '123456', 39: '96', 41: '10077120', 42: '898330154110012', 44: '48021000   48021000   ', 49: '156', 60: '22000001000', 63: 'CUP' }
const signin = { 0: '0810', 11: '000007', 12: '131411', 13: '1121', 32: '48021000', 37: '112113000007', 39: '97', 41: '10077120', 42: '898330154110012', 60: '00000001003' }
const back = { 0: '0400', 2: pan, 3: '000000', 4: '000000012345', 11: '000123', 14: '3012', 22: '051', 25: '00', 39: '98', 41: '10077120', 42: '898330154110012', 49: '156', 60: '22000001000' }
const text = { 0: '0210', 2: pan, 3: '000000', 4: '000000012345', 7: '1121131411', 11: '000123', 12: '131411', 13: '1121', 37: '112113000123', 39: '51', 41: '10077120', 42: '898330154110012', 48: 'private data' }
const long = { ...text, 0: '0430', 39: '00', 90: '020000012311211314110000000000000000000000', 102: 'account' }

for (const length of Object.keys(lengths)) {
  out('ask-' + length, length, tpdu, header, pack(unionpay, ask))
  out('answer-' + length, length, tpdu, newer, pack(unionpay, answer))
  out('signin-' + length, length, tpdu, header, pack(unionpay, signin))
  out('reversal-' + length, length, tpdu, header, pack(unionpay, back))
  out('lri-' + length, length, tpdu, lri, header, pack(unionpay, answer))
  out('bare-' + length, length, pack(unionpay, answer))
  out('text-' + length, length, pack(ascii, text))
  out('secondary-' + length, length, tpdu, pack(ascii, long))
}
