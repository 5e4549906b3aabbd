package sim

import (
	"cmp"
	"fmt"
)

// vendor answers a maker's own questions, in the forms of the real answers that drivers/modem/testdata keeps.
func (m *Modem) vendor(c string) ([]string, bool) {
	s := m.state
	lte := s.Act == 7
	service := s.Stat == 1 || s.Stat == 5
	one := func(format string, a ...any) ([]string, bool) { return []string{fmt.Sprintf(format, a...)}, true }
	switch m.make.Maker + " " + c {
	case "Quectel +QCSQ":
		switch {
		case !lte:
			return one(`+QCSQ: "GSM",%d`, -113+2*s.CSQ)
		case s.RSRP == 255:
			return one(`+QCSQ: "LTE",-,-,-,-`)
		}
		return one(`+QCSQ: "LTE",%d,%d,%d,%d`, -113+2*s.CSQ, -141+s.RSRP, int(s.SINR*5)+100, -20+s.RSRQ/2)
	case `Quectel +QENG="SERVINGCELL"`:
		if !service || !lte || s.RSRP == 255 {
			return one(`+QENG: "servingcell","SEARCH"`)
		}
		return one(`+QENG: "servingcell","NOCONN","LTE","FDD",001,01,1A2D101,101,1650,3,5,5,%s,%d,%d,%d,%d,-`, cmp.Or(s.Area, "1A2B"), -141+s.RSRP, -20+s.RSRQ/2, -113+2*s.CSQ, int(s.SINR))
	case "Quectel +QSIMSTAT?":
		if s.SIM == "10" {
			return one("+QSIMSTAT: 0,0")
		}
		return one("+QSIMSTAT: 0,1")
	case "Quectel +QNWINFO":
		switch {
		case !service:
			return one("+QNWINFO: No Service")
		case lte:
			return one(`+QNWINFO: "FDD LTE","%s","LTE BAND 3",1650`, cmp.Or(s.Operator, testNetwork))
		}
		return one(`+QNWINFO: "EDGE","%s","GSM 1800",653`, cmp.Or(s.Operator, testNetwork))
	case "SIMCOM INCORPORATED +CPSI?":
		if !lte || !service || s.RSRP == 255 {
			return one("+CPSI: NO SERVICE,Online")
		}
		return one("+CPSI: LTE,Online,001-01,0x1A2B,27447553,102,EUTRAN-BAND3,1300,5,5,%d,%d,%d,%d",
			-200+s.RSRQ*5, (-141+s.RSRP)*10, (-113+2*s.CSQ)*10, int(s.SINR))
	case "SIMCOM INCORPORATED +CNSMOD=?":
		return one("+CNSMOD: (0,1)")
	case "SIMCOM INCORPORATED +CNSMOD=1", "SIMCOM INCORPORATED +CNSMOD=0":
		return nil, true
	case "SIMCOM INCORPORATED +CNSMOD?":
		switch {
		case !service:
			return one("+CNSMOD: 0,0")
		case lte:
			return one("+CNSMOD: 0,8")
		}
		return one("+CNSMOD: 0,1")
	case "huawei ^HCSQ?":
		if !lte {
			return one(`^HCSQ:"GSM",%d`, 8+2*s.CSQ)
		}
		return one(`^HCSQ:"LTE",%d,%d,%d,%d`, 8+2*s.CSQ, s.RSRP, int((s.SINR+20.2)*5), s.RSRQ)
	case "huawei ^SYSINFOEX", "MEIG INCORPORATED ^SYSINFOEX":
		sim := 1
		if s.SIM == "10" {
			sim = 255
		}
		switch {
		case !service:
			return one(`^SYSINFOEX:0,0,0,%d,,0,"NO SERVICE",0,"NO SERVICE"`, sim)
		case lte:
			return one(`^SYSINFOEX:2,3,0,%d,,6,"LTE",101,"LTE"`, sim)
		}
		return one(`^SYSINFOEX:2,3,0,%d,,1,"GSM",3,"EDGE"`, sim)
	case "Fibocom +GTCCINFO?":
		if !lte || s.RSRP == 255 {
			return one("+GTCCINFO:")
		}
		return []string{"+GTCCINFO:", "LTE service cell:", fmt.Sprintf("1,4,001,01,1A2B,1A2D101,672,1E4,103,100,%d,63,%d,%d", int(s.SINR*2), s.RSRP, s.RSRQ), "LTE neighbor cell:"}, true
	case "MEIG INCORPORATED ^CELLINFO=1":
		if !lte || !service || s.RSRP == 255 {
			return nil, false
		}
		return one(`^CELLINFO: "LTE","FDD",001,01,27447553,101,48,1,1A2B,3,100,1650,19650,%d,%d,%d,%d,%d`,
			-113+2*s.CSQ, s.RSRP-141, -20+s.RSRQ/2, int(s.SINR*10), int(s.SINR))
	case "Silicon Laboratories #UD":
		return []string{"DIAG <2A4D3263 0=10>", fmt.Sprintf("DIAG <2A4D3263 1=%X>", s.UD)}, true
	case "Silicon Laboratories :R6C":
		return one("%02X00", byte(int8(-s.Volts))) // one wire is as good as the other
	}
	return nil, false
}
