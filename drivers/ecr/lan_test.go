package ecr

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func framed(text string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...)
}

// lanTalk is what passes on a LAN, in the order of a sale, with card data wherever some may stand. The forms are those
// of the
// specifications: see testdata.
var lanTalk = []struct {
	framing string
	answers bool
	frame   []byte
	want    []Found
}{
	{ZVTLAN, false, unhex("0601070400000000019 0"), []Found{{Kind: Start}}},
	{ZVTLAN, false, unhex("06220704000000000190"), []Found{{Kind: Start}}},
	{ZVTLAN, true, unhex("800000"), nil},
	{ZVTLAN, true, unhex("849C00"), []Found{{Kind: Refusal, Code: "zvt:0x9C", Scheme: schemeLocal, Origin: FromTerminal}}},
	{ZVTLAN, true, append(unhex("040F13"), "\x27\x33\x22\xF0\xF8"+panBCD+"\x0B\x00\x01\x23\x27\x33"...), []Found{{Kind: Result, Code: "51", Origin: FromHost, STAN: "000123"}}},
	{ZVTLAN, true, unhex("060F00"), []Found{{Kind: End}}},
	{OPI, false, framed(`<?xml version="1.0"?><CardServiceRequest RequestType="CardPayment" ApplicationSender="POS" WorkstationID="1"><TotalAmount>12.34</TotalAmount></CardServiceRequest>`), []Found{{Kind: Start}}},
	{OPI, true, framed(`<CardServiceResponse RequestType="CardPayment" OverallResult="Success"><Tender><Authorisation CardPAN="` + plantedPAN + `"/></Tender></CardServiceResponse>`), []Found{{Kind: Result, Approved: true}}},
	{OPI, true, framed(`<CardServiceResponse RequestType="CardPayment" WorkstationID="1" OverallResult="Aborted"><Card Track2="` + plantedTrack + `"/></CardServiceResponse>`), []Found{{Kind: Result, Code: "opi:Aborted", Scheme: schemeLocal, Origin: FromTerminal}}},
	{OPI, false, framed(`<ServiceRequest RequestType="Reconciliation"/>`), []Found{{Kind: Other}}},
	{OPI, true, framed(`<ServiceResponse RequestType="Reconciliation" OverallResult="Success"/>`), []Found{{Kind: End}}},
	{Nexo, false, framed(`<SaleToPOIRequest><MessageHeader MessageClass="Service" MessageCategory="Payment" MessageType="Request" ServiceID="1"/></SaleToPOIRequest>`), []Found{{Kind: Start}}},
	{Nexo, true, framed(`<SaleToPOIResponse><MessageHeader MessageCategory="Payment" MessageType="Response"/><PaymentResponse><Response Result="Failure" ErrorCondition="UnreachableHost"/><CardData MaskedPAN="` + plantedPAN + `"/></PaymentResponse></SaleToPOIResponse>`),
		[]Found{{Kind: Result, Code: "nexo:UnreachableHost", Scheme: schemeLocal, Origin: FromTerminal}}},
	{Nexo, false, framed(`{"SaleToPOIRequest":{"MessageHeader":{"MessageClass":"Service","MessageCategory":"Payment","MessageType":"Request"},"PaymentRequest":{}}}`), []Found{{Kind: Start}}},
	{Nexo, true, framed(`{"SaleToPOIResponse":{"MessageHeader":{"MessageCategory":"Payment","MessageType":"Response"},"PaymentResponse":{"Response":{"Result":"Success"},"PaymentResult":{"PaymentInstrumentData":{"CardData":{"MaskedPan":"` + plantedPAN + `"}}}}}}`),
		[]Found{{Kind: Result, Approved: true}}},
	{Nexo, true, framed(`{"SaleToPOIResponse":{"MessageHeader":{"MessageCategory":"Payment","MessageType":"Response"},"PaymentResponse":{"Response":{"ErrorCondition":"Refusal","Result":"Failure"},"PaymentReceipt":"` + strings.Repeat("x", 3*MaxMessage) + `"}}}`),
		[]Found{{Kind: Result, Code: "nexo:Refusal", Scheme: schemeLocal, Origin: FromTerminal}}},
	{Nexo, false, framed(`{"SaleToPOIRequest":{"MessageHeader":{"MessageCategory":"Diagnosis","MessageType":"Request"}}}`), []Found{{Kind: Other}}},
	{ECR17, true, frameECR17("123456780E05"), []Found{{Kind: Result, Code: "ecr17:05", Scheme: schemeLocal, Origin: FromTerminal, Terminal: "12345678"}}},
}

func unhex(digits string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

func TestWhatPassesOnALAN(t *testing.T) {
	for i, c := range lanTalk {
		for cut := 0; cut < len(c.frame); cut += max(1, len(c.frame)/200) {
			d := NewDecoder(c.framing, c.answers)
			got := listen(d, c.frame[:cut], c.frame[cut:])
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Fatalf("%d %s cut at %d: -want +got\n%s", i, c.framing, cut, diff)
			}
			if d.Partial() || !bytes.Equal(d.held[:cap(d.held)], make([]byte, cap(d.held))) {
				t.Fatalf("%d %s: holds something", i, c.framing)
			}
			if s := spilled(got, 6); s != "" {
				t.Fatal(s)
			}
			if got := listen(d, c.frame); len(got) != len(c.want) {
				t.Fatalf("%d %s cut at %d: again %+v", i, c.framing, cut, got)
			}
		}
	}
}

func FuzzLAN(f *testing.F) {
	for i, c := range lanTalk {
		f.Add(c.frame, byte(i))
	}
	f.Fuzz(func(t *testing.T, b []byte, how byte) {
		d := NewDecoder([]string{ZVTLAN, OPI, Nexo}[how%3], how&8 != 0)
		n := min(int(how), len(b))
		got := listen(d, b[:n], b[n:])
		d.Quiet(func(f Found) { got = append(got, f) })
		if cap(d.held) != linkBuffer || len(d.held) != 0 || !bytes.Equal(d.held[:cap(d.held)], make([]byte, linkBuffer)) {
			t.Fatalf("holds %d of %d", len(d.held), cap(d.held))
		}
		for _, f := range got {
			if len(f.Code) > 30 || text([]byte(f.Code)) != f.Code || strings.ContainsAny(strings.TrimPrefix(f.Code, "zvt:0x"),
				"0123456789") && len(f.Code) > 8 {
				t.Fatalf("outside the allow-list: %s", fmt.Sprintf("%+v", f))
			}
		}
	})
}

// TestATerminalsOwnQuestionsAreNoCommands: while a sale runs, the terminal asks the register to show, to print and to
// have a key pressed, and the register answers that it has. Neither begins nor ends anything: the card is in.
func TestATerminalsOwnQuestionsAreNoCommands(t *testing.T) {
	for _, c := range []struct {
		framing string
		answers bool
		text    string
	}{
		{OPI, true, `<DeviceRequest RequestType="Output" WorkstationID="1" RequestID="7"><Output OutDeviceTarget="CashierDisplay"><TextLine>ENTER PIN</TextLine></Output></DeviceRequest>`},
		{OPI, false, `<?xml version="1.0"?><DeviceResponse RequestType="Output" WorkstationID="1" RequestID="7" OverallResult="Success"><Output OutDeviceTarget="CashierDisplay" OutResult="Success"/></DeviceResponse>`},
		{OPI, false, `<DeviceResponse RequestType="Input" RequestID="8" OverallResult="Failure"/>`},
		{Nexo, true, `{"SaleToPOIRequest":{"MessageHeader":{"MessageClass":"Device","MessageCategory":"Display","MessageType":"Request","ServiceID":"3","DeviceID":"9"},"DisplayRequest":{}}}`},
		{Nexo, false, `{"SaleToPOIResponse":{"MessageHeader":{"MessageClass":"Device","MessageCategory":"Display","MessageType":"Response"},"DisplayResponse":{"OutputResult":[{"Device":"CashierDisplay","Response":{"Result":"Success"}}]}}}`},
		{Nexo, false, `<SaleToPOIResponse><MessageHeader MessageClass="Device" MessageCategory="Input" MessageType="Response"/><InputResponse><InputResult><Response Result="Failure" ErrorCondition="Cancel"/></InputResult></InputResponse></SaleToPOIResponse>`},
		{Nexo, true, `{"SaleToPOIResponse":{"MessageHeader":{"MessageClass":"Service","MessageCategory":"CardAcquisition","MessageType":"Response"},"CardAcquisitionResponse":{"Response":{"Result":"Success"}}}}`},
		{Nexo, true, `{"SaleToPOIRequest":{"MessageHeader":{"MessageClass":"Event","MessageCategory":"Event","MessageType":"Notification"},"EventNotification":{"EventToNotify":"SaleAdmin"}}}`},
	} {
		if got := listen(NewDecoder(c.framing, c.answers), framed(c.text)); len(got) != 0 {
			t.Errorf("%s: %+v", c.text, got)
		}
	}
}
