// Writes what Transbank's own register library sends, and a terminal's answers framed by the same library's encoder, one a
// line: what is heard, a space, the bytes in hex. npm install --ignore-scripts transbank-pos-sdk@4.0.0 && node transbank.js
const { POSIntegrado } = require('transbank-pos-sdk')
const LRC = require('lrc-calculator')

const show = (what, bytes) => console.log(what, Buffer.from(bytes).toString('hex'))

async function main() {
  const pos = new POSIntegrado()
  pos.connected = true
  const ask = async (what, call) => {
    pos.port = { write: (b) => show(what, b) }
    pos.waiting = false
    call().catch(() => {})
    await new Promise((done) => setImmediate(done))
  }
  await ask('nothing', () => pos.poll())
  await ask('nothing', () => pos.loadKeys())
  await ask('start', () => pos.sale(1500, 'ABC123'))
  await ask('nothing', () => pos.getLastSale())
  await ask('nothing', () => pos.getTotals())
  await ask('nothing', () => pos.refund('102'))
  await ask('nothing', () => pos.closeDay())
  const card = '4761'
  for (const code of ['00', '01', '02', '03', '07', '14', '22', '26', '62', '93']) {
    show(code, LRC.asStxEtx(`0210|${code}|597029414300|75001088|ABC123|${code === '00' ? '123456' : ''}|1500|${card}|000057|CR|||DB|21112026|153000|`))
  }
  show('nothing', LRC.asStxEtx('0260|00|597029414300|75001088|ABC123|123456|1500|' + card + '|000057|CR|'))
  show('nothing', LRC.asStxEtx('0900|82|'))
  process.exit(0)
}
main()
